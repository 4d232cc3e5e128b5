"""Agent servers that cost little, in a process of their own: `python -m bench.greedy_agents PORT`.

They answer each request once its body has come, with as many bytes as the path ends with (`/bytes/65536`), and send the
messages of a WebSocket back.
"""

import asyncio
import re
import sys
from typing import cast, override

import uvloop

from bench.greedy_clients import polite

_ANSWERS = {
    b"/health": b'"OK"',
    b"/server_info": b'{"uptime": 1.0, "idle_time": 1.0}',
    b"/api/conversations/count": b"0",
}
_SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
_ACCEPT = b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
"""To the key of RFC 6455, section 1.3, which all clients of this benchmark send."""
_MASK = 4


class _Agent(asyncio.Protocol):
    def __init__(self) -> None:
        self._transport: asyncio.Transport
        self._pending = b""
        self._left = 0
        self._answer = b""
        self._websocket = False

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    @override
    def data_received(self, data: bytes) -> None:
        if self._left:
            taken = min(self._left, len(data))
            self._left -= taken
            data = data[taken:]
            if not self._left:
                self._transport.write(self._answer)
        self._pending += data
        while not self._left and self._pending and (self._echo() if self._websocket else self._request()):
            pass

    def _request(self) -> bool:
        head, found, rest = self._pending.partition(b"\r\n\r\n")
        if not found:
            return False
        lower = head.lower()
        if b"upgrade: websocket" in lower:
            self._websocket, self._pending = True, rest
            self._transport.write(_SWITCH + _ACCEPT)
            return True
        path = head.split(b" ", 2)[1]
        body = _ANSWERS.get(path) or b"x" * int(path.rpartition(b"/")[2] or 0)
        self._answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        length = re.search(rb"\r\ncontent-length: *(\d+)", lower)
        self._left = int(length[1]) if length else 0
        taken = min(self._left, len(rest))
        self._left -= taken
        self._pending = rest[taken:]
        if not self._left:
            self._transport.write(self._answer)
        return True

    def _echo(self) -> bool:
        """Messages of less than 126 bytes, whose mask is all zeros."""
        if len(self._pending) < 2:
            return False
        size = self._pending[1] & 0x7F
        end = 2 + _MASK + size
        if len(self._pending) < end:
            return False
        self._transport.write(bytes((self._pending[0], size)) + self._pending[2 + _MASK : end])
        self._pending = self._pending[end:]
        return True


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(_Agent, "0.0.0.0", port, backlog=4096)  # noqa: S104
    await server.serve_forever()


if __name__ == "__main__":
    polite(-5)
    uvloop.run(_serve(int(sys.argv[1])))
