"""A gateway process under clients and sandboxes that mean harm: its memory stays bounded, and others are served."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from control_plane.gateway.process import Process, serving
from control_plane.gateway.support import API_KEY, Operator, answer
from control_plane.waiting import eventually
from local_cluster.control_plane import ControlPlane
from sandbox_common.reasons import Reason

MIB = 1024 * 1024
HALF_OPEN = 1000
SLOW_BODIES = 100
FLOODED = 30
"""Clients that read nothing, of each kind."""
BODY = 4 * MIB
BOUND = 192 * MIB
"""More than the process may grow by. Of bodies alone the slow clients send 400 MiB, and each flooded one any number."""
PIECE = bytes(64 * 1024)

type Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class Flood:
    """A sandbox that sends without end. `sent` are the bytes that its sockets have taken."""

    port: int = 0
    sent: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if b"GET /health " in head:
                    writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"OK"')
                    continue
                websocket = b"upgrade: websocket" in head.lower()
                switched = b"101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
                writer.write(b"HTTP/1.1 " + (switched if websocket else b"200 OK\r\n\r\n"))
                frame = b"\x82\x7f" + len(PIECE).to_bytes(8) + PIECE
                while True:
                    writer.write(frame if websocket else PIECE)
                    await writer.drain()
                    self.sent += len(PIECE)
        writer.close()


@asynccontextmanager
async def flooding() -> AsyncGenerator[Flood]:
    flood = Flood()
    server = await asyncio.start_server(flood.serve, "127.0.0.1", 0)
    flood.port = server.sockets[0].getsockname()[1]
    yield flood
    server.close()


async def connect(process: Process, stack: AsyncExitStack) -> Streams:
    """With a small buffer, so that it is the gateway that has to keep what is not read."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
    sock.connect(("127.0.0.1", urlsplit(process.url).port))
    reader, writer = await asyncio.open_connection(sock=sock, limit=1024)

    def abort() -> None:
        # One that the gateway has closed while something was left to send takes no `abort` any more.
        if not writer.transport.is_closing():
            writer.transport.abort()

    stack.callback(abort)
    return reader, writer


@pytest.mark.usefixtures("api_keys")
async def test_memory_is_bounded_and_others_are_served(
    control_plane: ControlPlane, namespace: str, master_key_dir: Path, operator: Operator
) -> None:
    async with (
        serving(control_plane, namespace, master_key_dir) as process,
        flooding() as flood,
        httpx.AsyncClient(base_url=process.url, timeout=60, trust_env=False) as http,
        AsyncExitStack() as stack,
        asyncio.timeout(300),
    ):
        key = {"X-API-Key": API_KEY}
        body = {"image": "i", "session_id": "s", "command": f"agent-server --port {flood.port}"}
        starting = asyncio.create_task(http.post("/start", json=body, headers=key))
        await operator.only()
        await operator.report(Reason.READY)
        session = {"X-Session-API-Key": answer(await starting)["session_api_key"]}
        before = process.resident

        async def others_are_served() -> None:
            assert (await http.get("/health", headers=session)).status_code == 200
            assert (await http.get("/list", headers=key)).status_code == 200
            assert await process.readyz() == 200
            assert process.resident - before < BOUND

        for _ in range(HALF_OPEN):
            _, writer = await connect(process, stack)
            writer.write(b"POST /start HTTP/1.1\r\nHost: gw\r\nX-API-Key: ")
        await others_are_served()

        async def upload() -> None:
            """All but the last byte of a body that is as large as one may be, as far as the gateway takes it."""
            _, writer = await connect(process, stack)
            head = f"POST /start HTTP/1.1\r\nHost: gw\r\nX-API-Key: {API_KEY}\r\nContent-Length: {BODY}\r\n\r\n"
            writer.write(head.encode())
            with contextlib.suppress(ConnectionError):
                for _ in range(BODY // len(PIECE) - 1):
                    writer.write(PIECE)
                    await writer.drain()

        await asyncio.gather(*(upload() for _ in range(SLOW_BODIES)))
        await others_are_served()

        name, value = next(iter(session.items()))
        asking = f"GET /flood HTTP/1.1\r\nHost: gw\r\n{name}: {value}\r\n"
        for upgrade in ("", "Connection: Upgrade\r\nUpgrade: websocket\r\n"):
            for _ in range(FLOODED):
                _, writer = await connect(process, stack)
                writer.write(f"{asking}{upgrade}\r\n".encode())

        async def stands() -> bool:
            seen = flood.sent
            await asyncio.sleep(0.5)
            return seen > 2 * FLOODED * len(PIECE) and flood.sent == seen

        await eventually(stands)
        await others_are_served()
