"""The two owners' clients, each in a process of its own: `python -m bench.greedy_clients modest|greedy`.

What they do is JSON on their standard input, since it holds keys. They print what came of it as JSON.
"""

import asyncio
import json
import os
import sys
import time
from collections import Counter
from contextlib import suppress
from typing import Any, cast, override

import uvloop

from bench.figures import percentile

PATIENCE = 10.0
"""Seconds that the modest client waits for an answer."""
_WINDOW = 8
"""Messages on the way of each greedy WebSocket."""
MESSAGE = bytes((0x82, 0x80 | 100)) + bytes(4) + b"x" * 100
ECHO = 102
"""Bytes of its answer."""


def polite(nice: int) -> None:
    """Give way to others, or go before them where that is allowed."""
    with suppress(PermissionError):
        os.nice(nice)


class Connection(asyncio.Protocol):
    """One request at a time; each answer has a Content-Length."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport
        self.answered: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._received = b""
        self._left = -1
        self._status = ""
        self._echoes = 0

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    @override
    def data_received(self, data: bytes) -> None:
        if self._echoes:
            self._left -= len(data)
        elif self._left < 0:
            self._received += data
            head, end, body = self._received.partition(b"\r\n\r\n")
            if not end:
                return
            length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
            self._status, self._received = head[9:12].decode(), b""
            self._left = int(length or 0) - len(body)
        else:
            self._left -= len(data)
        if self._left <= 0 and not self.answered.done():
            self._left = -1
            self.answered.set_result(self._status)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if not self.answered.done():
            self.answered.set_result("lost")

    def ask(self, request: bytes, echoes: int = 0) -> asyncio.Future[str]:
        """The status of the answer; or, on a WebSocket, when so many messages have come back."""
        self.answered = asyncio.get_running_loop().create_future()
        self._echoes = echoes
        if echoes:
            self._left = echoes * ECHO
        if self.transport.is_closing():
            self.answered.set_result("lost")
        else:
            self.transport.write(request)
        return self.answered


async def connected(port: int) -> Connection:
    """A new one."""
    return (await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", port))[1]


class Kind:
    """One kind of requests at fixed moments, each on a connection that is free; waits count from the moment due."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self._port: int = spec["port"]
        self._rate: float = spec["rate"]
        self._requests = [text.encode() for text in spec["requests"]]
        self._afterwards = [text.encode() for text in spec.get("afterwards", [])]
        self._websocket = spec.get("websocket", "").encode()
        self._free: list[Connection] = []
        self.waits: list[float] = []
        self.statuses: Counter[str] = Counter()

    async def run(self, seconds: float) -> None:
        """Until then; and until all are answered."""
        self._free.append(await self._connection())
        begin = time.perf_counter()
        asking: list[asyncio.Task[None]] = []
        for number in range(int(self._rate * seconds)):
            due = begin + (number + 0.5) / self._rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            asking.append(asyncio.create_task(self._ask(number, due)))
        await asyncio.gather(*asking)

    async def _ask(self, number: int, due: float) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                connection = await self._connection()
                if self._websocket:
                    status = await connection.ask(MESSAGE, 1)
                else:
                    status = await connection.ask(self._requests[number % len(self._requests)])
        except TimeoutError:
            self.statuses["timeout"] += 1
            self.waits.append(PATIENCE)
            return
        self.waits.append(time.perf_counter() - due)
        self.statuses[status] += 1
        if self._afterwards:
            await connection.ask(self._afterwards[number % len(self._afterwards)])
        if status != "lost":
            self._free.append(connection)

    async def _connection(self) -> Connection:
        if self._free:
            return self._free.pop()
        connection = await connected(self._port)
        if self._websocket:
            await connection.ask(self._websocket)
        return connection


async def modest(spec: dict[str, Any]) -> dict[str, Any]:
    """All kinds side by side."""
    kinds = {name: Kind(one) for name, one in spec["kinds"].items()}
    await asyncio.gather(*(kind.run(spec["seconds"]) for kind in kinds.values()))
    return {
        name: {
            "p50": 1000 * percentile(kind.waits, 0.5),
            "p99": 1000 * percentile(kind.waits, 0.99),
            "statuses": kind.statuses,
        }
        for name, kind in kinds.items()
    }


async def greedy(spec: dict[str, Any]) -> dict[str, Any]:
    """On each of so many connections the next request as soon as the one before is answered."""
    ends = time.perf_counter() + spec["seconds"]
    statuses: Counter[str] = Counter()
    requests = [text.encode() for text in spec["requests"]]
    websocket: bytes = spec.get("websocket", "").encode()

    async def lane(number: int) -> None:
        while time.perf_counter() < ends:
            connection = await connected(spec["port"])
            if websocket:
                await connection.ask(websocket)
            while time.perf_counter() < ends:
                if websocket:
                    status = await connection.ask(MESSAGE * _WINDOW, _WINDOW)
                else:
                    status = await connection.ask(requests[number % len(requests)])
                number += 1
                statuses[status] += 1
                if status == "lost" or connection.transport.is_closing():
                    break
            connection.transport.abort()

    lanes = [asyncio.create_task(lane(number)) for number in range(spec["connections"])]
    await asyncio.wait(lanes, timeout=spec["seconds"])
    for task in lanes:
        task.cancel()
    await asyncio.wait(lanes)
    failed = [error for task in lanes if not task.cancelled() and (error := task.exception())]
    statuses.update(type(error).__name__ for error in failed)
    return {"per_second": sum(statuses.values()) / spec["seconds"], "statuses": statuses}


if __name__ == "__main__":
    does = {"modest": (modest, -5), "greedy": (greedy, 10)}
    run, nice = does[sys.argv[1]]
    polite(nice)
    print(json.dumps(uvloop.run(run(json.load(sys.stdin)))))
