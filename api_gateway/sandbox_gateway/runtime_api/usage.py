"""The endpoint for usage. The hosted Runtime API has none."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import AfterValidator
from pydantic.json_schema import SkipJsonSchema

from sandbox_common import times
from sandbox_common.usage import fields, number_of, total, within
from sandbox_gateway.contract.responses import DayUsage, UsageResponse, UsageTotal
from sandbox_gateway.runtime_api import examples
from sandbox_gateway.runtime_api.openapi import answers as described
from sandbox_gateway.runtime_api.routes import Owner
from sandbox_gateway.sandboxes.usage import Usage


def _day(text: str | None) -> str | None:
    if text is not None and number_of(text) is None:
        raise ValueError("is not a day of the calendar, such as 2026-01-31")
    return text


Since = Annotated[
    str | SkipJsonSchema[None],
    AfterValidator(_day),
    Query(
        description="The first day, in UTC. Default: all days that are kept.",
        json_schema_extra={"format": "date"},
        examples=["2026-01-01"],
    ),
]


def usage_routes(usage: Usage) -> APIRouter:
    """The endpoint."""
    router = APIRouter(tags=["usage"])

    @router.get("/usage", summary="Say what was used", responses=described(usage=examples.USAGE))
    async def of_owner(owner: Owner, since: Since = None) -> UsageResponse:
        """What all sandboxes of the API key's owner have used, by day and class, for the last 62 days.

        The operator records it at most every five minutes. What was used since then is estimated from the sandboxes
        that still exist.
        """
        now, days = await usage.of(owner)
        kept = within(days, since or "")
        rows = [
            DayUsage(date=day, class_name=name, **fields(amounts))
            for day, classes in kept.items()
            for name, amounts in classes.items()
        ]
        return UsageResponse(through=times.rfc3339(now), total=UsageTotal(**fields(total(kept))), days=rows)

    return router
