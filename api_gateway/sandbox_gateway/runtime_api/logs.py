"""The endpoint for logs. The hosted Runtime API has none."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import AfterValidator, WithJsonSchema
from pydantic.json_schema import SkipJsonSchema

from sandbox_common import times
from sandbox_gateway.runtime_api import examples
from sandbox_gateway.runtime_api.openapi import refusals, streamed
from sandbox_gateway.runtime_api.routes import Audited, Owner, Reaching, RuntimeId
from sandbox_gateway.runtime_api.streams import LOGS, Stream, Streams
from sandbox_gateway.sandboxes.logs import LogQuery, Logs
from sandbox_gateway.sandboxes.service import SandboxService

_LONGEST_SECONDS = 31_536_000
_MOST_LINES = 10_000


def _since(text: str | None) -> str | None:
    if text is not None:
        moment(text)
    return text


def moment(text: str) -> int | datetime:
    """A number of seconds before now, or a time. Raises ValueError."""
    if text.isascii() and text.isdecimal() and 1 <= int(text[:9]) <= _LONGEST_SECONDS and len(text) < 9:
        return int(text)
    try:
        if "-" not in text[1:]:
            raise ValueError
        return times.parse(text.upper())
    except ValueError:
        raise ValueError(
            f"is neither a number of seconds from 1 to {_LONGEST_SECONDS} nor a time such as 2026-01-31T12:00:00Z"
        ) from None


Follow = Annotated[bool, Query(description="Whether to stay and send what is logged from now on.", examples=[True])]
Since = Annotated[
    str | SkipJsonSchema[None],
    AfterValidator(_since),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 1, "maximum": _LONGEST_SECONDS},
                {"type": "string", "format": "date-time"},
            ],
            "examples": ["2026-01-31T12:00:00Z"],
        }
    ),
    Query(description="Only what was logged in the last so many seconds, or since this time."),
]
Tail = Annotated[int, Query(ge=0, le=_MOST_LINES, description="At most this many of the last lines.", examples=[100])]
Timestamps = Annotated[bool, Query(description="Whether each line begins with its time.", examples=[True])]


class LogStream(Stream):
    """Lines of a log."""

    content_type = "text/plain"
    bounds = LOGS


def log_routes(service: SandboxService, logs: Logs, streams: Streams) -> APIRouter:
    """The endpoint."""
    router = APIRouter(tags=["logs"])

    @router.get(
        "/logs/{runtime_id}",
        summary="Read a sandbox's log",
        status_code=200,
        response_class=LogStream,
        responses={**streamed(LogStream.content_type, examples.LOG), **refusals(404, 409)},
    )
    async def log(
        request: Request,
        owner: Owner,
        reach: Reaching,
        noted: Audited,
        runtime_id: RuntimeId,
        follow: Follow = False,
        since: Since = None,
        tail: Tail = 1000,
        timestamps: Timestamps = False,
    ) -> LogStream:
        """What the agent server of a sandbox has printed in its present pod, as text.

        Keys of the sandbox are redacted, invisible characters removed, and lines cut after 16 KiB. An answer has at
        most 16 MiB and lasts at most an hour; it ends with the key. 409 while the sandbox has none: it
        starts, is paused, or has failed without a pod. With the permission `admin`: also of others.
        """
        noted.runtime_id = runtime_id
        query = LogQuery(tail, None if since is None else moment(since), follow, timestamps)
        found = await service.look(reach, runtime_id)
        noted.sandbox(found[0])
        return LogStream(streams, request, owner, logs.read(*found, query))

    return router
