"""One request again and again, at fixed moments: `python -m bench.paced PORT RATE SECONDS`, with the request's bytes as
standard input, since they hold keys. Prints what came of it as JSON."""

import asyncio
import json
import sys
import time
from collections import Counter, deque
from typing import cast, override

import uvloop

from bench.figures import percentile

_CONNECTIONS = 64
_TICK = 0.002
"""Seconds. What is due within one is sent together: a client that slept for each request would measure itself."""


class _Connection(asyncio.Protocol):
    """One request at a time; each answer has a Content-Length."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport
        self.answered: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._received = b""

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    @override
    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if end and len(body) == int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]):
            self._received = b""
            self.answered.set_result(head[9:12].decode())

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if not self.answered.done():
            self.answered.set_result("lost")

    def ask(self, request: bytes) -> asyncio.Future[str]:
        """The status of the answer."""
        self.answered = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return self.answered


async def paced(port: int, rate: int, seconds: float, request: bytes) -> None:
    """Waits count from the moment that was due. A request without a free connection counts as missed."""
    loop = asyncio.get_running_loop()
    free = deque([(await loop.create_connection(_Connection, "127.0.0.1", port))[1] for _ in range(_CONNECTIONS)])
    waits: list[float] = []
    statuses: Counter[str] = Counter()
    begin, number = time.perf_counter() + 0.1, 0
    while number < rate * seconds:
        due = begin + number / rate
        now = time.perf_counter()
        if now < due:
            await asyncio.sleep(max(due - now, _TICK))
            continue
        number += 1
        if not free:
            statuses["missed"] += 1
            await asyncio.sleep(0)
            continue
        connection = free.popleft()

        def done(answered: asyncio.Future[str], connection: _Connection = connection, due: float = due) -> None:
            waits.append(time.perf_counter() - due)
            statuses[answered.result()] += 1
            if answered.result() != "lost":
                free.append(connection)

        connection.ask(request).add_done_callback(done)
    await asyncio.sleep(1)
    ms = {name: 1000 * percentile(waits, share) for name, share in (("p50", 0.5), ("p99", 0.99))}
    print(json.dumps({"rate": len(waits) / seconds, **ms, "statuses": statuses}))


if __name__ == "__main__":
    uvloop.run(paced(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), sys.stdin.buffer.read()))
