"""Clients in a process of their own, which print what they saw as JSON: `python -m bench.proxy.clients WHAT PORT …`."""

import asyncio
import json
import sys
import time
from collections import deque
from typing import Any, cast, override

import picows
import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport

from bench.figures import percentile
from bench.proxy.backend import SMALL
from bench.proxy.ours import SESSION_KEYS

HEADERS = {
    "Host": "127.0.0.1",
    "Accept": "*/*",
    "Accept-Encoding": "gzip, deflate",
    "Connection": "keep-alive",
    "User-Agent": "python-httpx/0.28.1",
    "Content-Type": "application/json",
}
"""As the SDK sends them (openhands-sdk 1.58.2), but for the session key."""
_FIELDS = HEADERS | {"X-Session-API-Key": SESSION_KEYS["http"]}
_GET = "".join(
    ["GET /small HTTP/1.1\r\n", *(f"{name}: {value}\r\n" for name, value in _FIELDS.items()), "\r\n"]
).encode()
_END = SMALL.encode()
_CONNECTIONS = 64
_BATCH = 50


class _Connection(asyncio.Protocol):
    """One request at a time."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport
        self._received = b""
        self.answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    @override
    def data_received(self, data: bytes) -> None:
        self._received += data
        if self._received.endswith(_END):
            if not self._received.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(self._received[:200])
            self._received = b""
            self.answered.set_result(None)

    def ask(self) -> asyncio.Future[None]:
        """Done when the answer has come."""
        self.answered = asyncio.get_running_loop().create_future()
        self.transport.write(_GET)
        return self.answered


async def _connected(port: int, count: int) -> list[_Connection]:
    loop = asyncio.get_running_loop()
    made: list[_Connection] = []
    while len(made) < count:
        batch = range(min(_BATCH, count - len(made)))
        pairs = await asyncio.gather(*(loop.create_connection(_Connection, "127.0.0.1", port) for _ in batch))
        made += [connection for _, connection in pairs]
    return made


async def steady(port: int, rate: int, seconds: float) -> None:
    """Requests at fixed moments, whatever becomes of them. Waits in seconds count from the moment that was due."""
    free = deque(await _connected(port, _CONNECTIONS))
    for connection in free:
        await connection.ask()
    waits: list[float] = []
    missed = 0
    begin = time.perf_counter() + 0.1
    for number in range(int(rate * seconds)):
        due = begin + number / rate
        left = due - time.perf_counter()
        if left > 0:
            await asyncio.sleep(left)
        else:
            await asyncio.sleep(0)
        if not free:
            missed += 1
            continue
        connection = free.popleft()

        def done(_: object, connection: _Connection = connection, due: float = due) -> None:
            waits.append(time.perf_counter() - due)
            free.append(connection)

        connection.ask().add_done_callback(done)
    await asyncio.sleep(1)
    print(
        json.dumps(
            {
                "rate": len(waits) / seconds,
                "p50": 1000 * percentile(waits, 0.5),
                "p99": 1000 * percentile(waits, 0.99),
                "errors": missed,
            }
        )
    )


class _Echoed(WSListener):
    """Sends a message again as soon as it is back."""

    def __init__(self, message: bytes, waits: list[float]) -> None:
        super().__init__()
        self.transport: WSTransport
        self._message = message
        self._waits = waits
        self._sent = 0.0

    def send(self) -> None:
        self._sent = time.perf_counter()
        self.transport.send(WSMsgType.BINARY, self._message)

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        self._waits.append(time.perf_counter() - self._sent)
        self.send()


async def _websocket(port: int, listener: WSListener) -> WSTransport:
    headers = {"X-Session-API-Key": SESSION_KEYS["websocket"]}
    url = f"ws://127.0.0.1:{port}/websocket"
    connect = cast(Any, picows).ws_connect  # its own types are not complete
    transport, _ = await connect(lambda: listener, url, extra_headers=headers)
    return transport


async def echoes(port: int, count: int, size: int, seconds: float) -> None:
    """Messages of so many bytes back and forth on so many WebSockets."""
    waits: list[float] = []
    listeners = [_Echoed(b"x" * size, waits) for _ in range(count)]
    transports = [await _websocket(port, listener) for listener in listeners]
    for listener in listeners:
        listener.send()
    await asyncio.sleep(seconds / 4)
    waits.clear()
    await asyncio.sleep(seconds)
    done = list(waits)
    for transport in transports:
        transport.disconnect()
    figures = {"rate": len(done) / seconds, "p50": 1000 * percentile(done, 0.5), "p99": 1000 * percentile(done, 0.99)}
    print(json.dumps({**figures, "errors": 0}))


async def idle(port: int, count: int, kind: str) -> None:
    """Open them, say so, and keep them until standard input ends. Each has done something once."""
    kept: list[object] = []
    if kind == "http":
        for connection in await _connected(port, count):
            await connection.ask()
            kept.append(connection)
    else:
        for _ in range(count):
            waits: list[float] = []
            listener = _Once(b"hello", waits)
            kept.append(await _websocket(port, listener))
            listener.send()
    await asyncio.sleep(1)
    print("open", flush=True)
    await asyncio.to_thread(sys.stdin.read)


class _Once(_Echoed):
    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        pass


if __name__ == "__main__":
    what, port_text, *rest = sys.argv[1:]
    port = int(port_text)
    match what, rest:
        case "steady", [rate, seconds]:
            uvloop.run(steady(port, int(rate), float(seconds)))
        case "echoes", [count, size, seconds]:
            uvloop.run(echoes(port, int(count), int(size), float(seconds)))
        case "idle", [count, kind]:
            uvloop.run(idle(port, int(count), kind))
        case _:
            sys.exit(f"unknown: {sys.argv[1:]}")
