"""The gateway replicas' reports to the operator about the use of sandboxes: `GET /internal/activity`.

Requests have `Authorization: Bearer <internal token>` and optionally the query `within=SECONDS`. Reports contain only
ages, never times, so that no two clocks are compared.
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
    """Number of exchanges in flight, and seconds since the last activity (0 while an exchange is in flight)."""

    in_flight: Annotated[int, Field(ge=0)]
    idle_seconds: Seconds


@dataclass(frozen=True, slots=True)
class Report:
    """One replica's report: `sandboxes` by runtime id, from a memory that reaches back `uptime_seconds`.

    A sandbox that is missing was not used in that time, or not within the requested seconds.
    """

    uptime_seconds: Seconds
    sandboxes: dict[str, Use]


_REPORT = TypeAdapter(Report)


def encode(report: Report) -> bytes:
    """The report as JSON."""
    return orjson.dumps(report)


def decode(body: bytes) -> Report:
    """Decode a report from JSON. Raises ValueError."""
    try:
        return _REPORT.validate_json(body)
    except ValidationError as error:
        raise ValueError(f"not an activity report: {error.errors(include_input=False, include_url=False)}") from error
