"""Waits for the head of an upstream's answer."""

import asyncio
from typing import override

from sandbox_gateway.proxy.head import BadMessageError, ResponseHead
from sandbox_gateway.proxy.upstream import Sink, UpstreamConnection


class AwaitedHead(Sink):
    """The first head, and the bytes after it.

    `result` raises BadMessageError, and ConnectionError when the connection ends first.
    """

    def __init__(self, upstream: UpstreamConnection) -> None:
        self.result: asyncio.Future[tuple[ResponseHead, bytes]] = asyncio.get_running_loop().create_future()
        self._upstream = upstream
        upstream.sink = self

    @override
    def response_data(self, data: bytes) -> None:
        try:
            rest = self._upstream.reader.feed(data)
            if rest is None or self.result.done():
                return
            self._upstream.pause_reading()
            self.result.set_result((self._upstream.reader.head(), rest))
        except BadMessageError as error:
            self.result.set_exception(error)

    @override
    def upstream_closed(self, *, clean: bool) -> None:
        if not self.result.done():
            self.result.set_exception(ConnectionError(f"closed, clean: {clean}"))

    @override
    def upstream_writable(self, *, writable: bool) -> None:
        pass
