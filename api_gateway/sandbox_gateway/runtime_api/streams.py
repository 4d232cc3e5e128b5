"""Answers that last: how many of them there may be, and what ends them."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import ClassVar, override

from fastapi import Request
from fastapi.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from sandbox_gateway.contract.errors import TooManyStreamsError, UnavailableError
from sandbox_gateway.contract.retry import Passing
from sandbox_gateway.process.metrics import STREAMS

_LOOK_SECONDS = 1.0
"""How soon a stream ends after its key."""
_LAST_SECONDS = 1.0
"""For the end of a stream to a client that may not read."""
_HEADERS: Mapping[str, str] = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    # Proxies like nginx would otherwise collect the stream.
    "X-Accel-Buffering": "no",
}


class _EndingError(UnavailableError):
    passing = Passing.ENDING

    def __init__(self) -> None:
        super().__init__("This replica of the gateway is about to end. Call again: another one answers.")


@dataclass(frozen=True, slots=True)
class Bounds:
    """Of one kind of streams in one process. `each` is the number of one owner's."""

    kind: str
    total: int
    each: int
    seconds: float
    """After which one ends."""


EVENTS = Bounds("events", total=128, each=64, seconds=3600)
"""A stream takes some 100 bytes for each sandbox that changes while its client does not read."""
LOGS = Bounds("logs", total=32, each=8, seconds=3600)
"""Each takes one of the 100 connections to the API server."""


class Streams:
    """All streams of this process."""

    def __init__(self) -> None:
        self._open: Counter[tuple[str, str]] = Counter()
        """By kind and owner."""
        self.released = False
        """Whether all streams shall end."""

    def release(self) -> None:
        """End all streams and begin no new ones: the process is about to end."""
        self.released = True

    @contextmanager
    def one_of(self, bounds: Bounds, owner: str) -> Generator[None]:
        """While a stream is open. Raises TooManyStreamsError, UnavailableError."""
        if self.released:
            raise _EndingError
        kind, mine = bounds.kind, (bounds.kind, owner)
        if self._open[mine] >= bounds.each:
            raise TooManyStreamsError(f"Owner {owner} has {bounds.each} streams of this kind open, which is the most")
        if sum(number for (of, _), number in self._open.items() if of == kind) >= bounds.total:
            raise TooManyStreamsError(f"This gateway has {bounds.total} streams of this kind open, which is the most")
        self._open[mine] += 1
        try:
            with STREAMS.labels(kind).track_inprogress():
                yield
        finally:
            self._open[mine] -= 1
            if not self._open[mine]:
                del self._open[mine]


class Stream(StreamingResponse):
    """Sends the pieces as they come, until they or the client end, the key is no longer valid, or its time is over.

    What is raised before the first piece becomes a refusal, so the first piece should come at once.
    """

    bounds: ClassVar[Bounds]
    content_type: ClassVar[str]
    """Not `media_type`: FastAPI's description would give it to the refusals, too."""

    def __init__(self, streams: Streams, request: Request, owner: str, pieces: AsyncGenerator[bytes]) -> None:
        super().__init__(pieces, headers=_HEADERS, media_type=self.content_type)
        self._streams = streams
        self._owner = owner
        self._pieces = pieces
        self._is_valid: Callable[[], bool] = request.state.is_key_valid

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve it."""
        has_begun = False
        with self._streams.one_of(self.bounds, self._owner):
            try:
                async with aclosing(self._pieces) as pieces, asyncio.timeout(self.bounds.seconds) as limit:
                    watching = asyncio.create_task(self._watch(receive, limit))
                    try:
                        first = await anext(pieces)
                        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                        has_begun = True
                        await send(_body(first))
                        async for piece in pieces:
                            await send(_body(piece))
                            # One piece is one step of the owner.
                            await asyncio.sleep(0)
                    finally:
                        watching.cancel()
            except TimeoutError:
                if not has_begun:
                    raise
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_SECONDS):
                await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _watch(self, receive: Receive, limit: asyncio.Timeout) -> None:
        """End the stream when it must not go on."""
        leaving = asyncio.create_task(_left(receive))
        try:
            while not leaving.done() and not self._streams.released and self._is_valid():
                await asyncio.wait([leaving], timeout=_LOOK_SECONDS)
        finally:
            leaving.cancel()
        limit.reschedule(asyncio.get_running_loop().time())


async def _left(receive: Receive) -> None:
    """Return when the client is gone, or sends what it must not."""
    with contextlib.suppress(Exception):
        while (await receive())["type"] != "http.disconnect":
            pass


def _body(piece: bytes) -> Message:
    return {"type": "http.response.body", "body": piece, "more_body": True}
