"""The endpoint that streams changes of sandboxes, as server-sent events. The hosted Runtime API has none."""

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Iterable
from itertools import batched

import orjson
from fastapi import APIRouter, Request

from sandbox_common.sandboxes.view import View
from sandbox_crds.models import Sandbox
from sandbox_gateway.contract.responses import RuntimeResponse
from sandbox_gateway.runtime_api import examples
from sandbox_gateway.runtime_api.answers import Answers
from sandbox_gateway.runtime_api.openapi import refusals, streamed
from sandbox_gateway.runtime_api.routes import Audited, Chosen, Owner, origin_of
from sandbox_gateway.runtime_api.streams import EVENTS, Stream, Streams
from sandbox_gateway.sandboxes.api import Reach
from sandbox_gateway.sandboxes.feed import Feed

HEARTBEAT_SECONDS = 15.0
"""Proxies close connections that are silent for longer."""
TOGETHER_SECONDS = 0.1
"""Changes within this time are sent together, the newest state of each sandbox."""
_AT_ONCE = 16
"""Sandboxes in one step; each takes some tens of microseconds."""
_RETRY_MILLISECONDS = (1000, 4000)
"""Clients come back at different moments after a replica has ended."""
_HEARTBEAT = b":\n\n"

type Show = Callable[[Sandbox, View], RuntimeResponse | None]


class EventStream(Stream):
    """Server-sent events."""

    content_type = "text/event-stream"
    bounds = EVENTS


def event_routes(feed: Feed, answers: Answers, streams: Streams) -> APIRouter:
    """The endpoint."""
    router = APIRouter(tags=["events"])

    @router.get(
        "/events",
        summary="Follow the sandboxes",
        status_code=200,
        response_class=EventStream,
        responses={**streamed(EventStream.content_type, examples.EVENTS), **refusals(403)},
    )
    async def events(request: Request, owner: Owner, reach: Chosen, noted: Audited) -> EventStream:
        """All sandboxes of the API key's owner, and then each change of them, from memory, as server-sent events.

        `sandbox` has a sandbox as in `/list`, also a paused or failed one, without its `session_api_key`. `gone` has
        the `runtime_id` of one that was stopped. `synced` comes once, after all that exist, with their number in
        `total`. The stream has no history: after each connection, forget what has not come again until `synced`.
        Changes that follow one another quickly are combined. With the permission `admin`: the sandboxes of all owners.
        The stream ends after an hour, or with the key; clients reconnect.
        """
        noted.sandbox_owner = reach
        origin = origin_of(request)

        def show(sandbox: Sandbox, seen: View) -> RuntimeResponse | None:
            return answers.one_of_several(sandbox, seen, origin, owner, with_key=False)

        return EventStream(streams, request, owner, followed(feed, reach, show))

    return router


async def followed(feed: Feed, reach: Reach, show: Show) -> AsyncGenerator[bytes]:
    """The present state of all sandboxes of this reach, and then their changes, until it is closed."""
    with feed.follow(reach) as follower:

        def sandboxes(names: Iterable[str]) -> Iterable[bytes]:
            for name in names:
                found = feed.look(follower, name)
                shown = show(*found) if found else None
                if shown is not None:
                    yield b"event: sandbox\ndata: %b\n\n" % shown.model_dump_json().encode()
                else:
                    yield _event("gone", {"runtime_id": name})

        yield b"retry: %d\n\n" % random.randint(*_RETRY_MILLISECONDS)  # noqa: S311
        names = feed.names(reach)
        for some in batched(names, _AT_ONCE):
            yield b"".join(sandboxes(some))
        yield _event("synced", {"total": len(names)})
        while True:
            if not await follower.wait(HEARTBEAT_SECONDS):
                yield _HEARTBEAT
                continue
            await asyncio.sleep(TOGETHER_SECONDS)
            while some := follower.take(_AT_ONCE):
                yield b"".join(sandboxes(some))


def _event(name: str, data: dict[str, object]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), orjson.dumps(data))
