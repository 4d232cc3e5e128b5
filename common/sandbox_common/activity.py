"""What the gateway's replicas tell the operator about the use of sandboxes: `GET /internal/activity`.

Asked with `Authorization: Bearer <internal token>` and, as an option, the query `within=SECONDS`. Only ages are told,
never times, so that no two clocks are ever compared.
"""

from dataclasses import dataclass
from typing import Annotated

import orjson
from pydantic import Field, TypeAdapter, ValidationError

PATH = "/internal/activity"
CHECK_SECONDS = 15.0
"""The operator asks each replica at least this often."""

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@dataclass(frozen=True, slots=True)
class Use:
    """Exchanges in flight, and seconds since the last sign of activity (0 while one is in flight)."""

    in_flight: Annotated[int, Field(ge=0)]
    idle_seconds: Seconds


@dataclass(frozen=True, slots=True)
class Report:
    """One replica's answer. `uptime_seconds` is how far back its memory reaches, `sandboxes` is by runtime id.

    A sandbox that is not named has not been used in that time, or not within the seconds that were asked for.
    """

    uptime_seconds: Seconds
    sandboxes: dict[str, Use]


_REPORT = TypeAdapter(Report)


def encode(report: Report) -> bytes:
    """As JSON."""
    return orjson.dumps(report)


def decode(body: bytes) -> Report:
    """From JSON. Raises ValueError."""
    try:
        return _REPORT.validate_json(body)
    except ValidationError as error:
        raise ValueError(f"not an activity report: {error.errors(include_input=False, include_url=False)}") from error
