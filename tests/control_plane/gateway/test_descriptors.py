"""A gateway process with few open files, and more connections than it can have."""

import asyncio
import contextlib
from pathlib import Path
from urllib.parse import urlsplit

import orjson

from control_plane.gateway.process import serving
from control_plane.gateway.support import API_KEY, add_api_key
from control_plane.waiting import PATIENCE, eventually
from local_cluster.control_plane import ControlPlane
from sandbox_common.kube import KubeClient
from sandbox_gateway.process.descriptors import connections

OPEN_FILES = 256
MOST = connections(OPEN_FILES)
FLOOD = 1000
HEALTH = b"GET /health HTTP/1.1\r\nHost: gw\r\n\r\n"
LIST = b"GET /list HTTP/1.1\r\nHost: gw\r\nX-API-Key: %b\r\n\r\n" % API_KEY.encode()

type Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def ask(connection: Streams, request: bytes) -> None:
    reader, writer = connection
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 "), head
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    await reader.readexactly(length)


async def test_what_is_open_lives_on_when_all_descriptors_are_asked_for(
    control_plane: ControlPlane, namespace: str, client: KubeClient, master_key_dir: Path
) -> None:
    await add_api_key(client, namespace, API_KEY, "alice")
    async with serving(control_plane, namespace, master_key_dir, open_files=OPEN_FILES) as gateway:
        port = urlsplit(gateway.url).port
        async with asyncio.timeout(PATIENCE), contextlib.AsyncExitStack() as stack:

            async def connect() -> Streams:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                stack.callback(writer.transport.abort)
                return reader, writer

            held = [await connect() for _ in range(MOST)]
            # Calls of the Runtime API take the most descriptors: all at once.
            await asyncio.gather(*(ask(one, LIST) for one in held))
            reader, _ = await connect()
            head, _, body = (await reader.read(-1)).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 503 ")
            assert "more replicas" in orjson.loads(body)["detail"]

            for _ in range(FLOOD):
                await connect()
            assert await gateway.readyz() == 200
            assert (await gateway.ask("/healthz")).status_code == 200
            await asyncio.gather(*(ask(one, LIST) for one in held))
            counted = f"openhands_sandbox_gateway_refused_connections_total {FLOOD + 1:.1f}\n"

            async def all_are_counted() -> bool:
                return counted in (await gateway.ask("/metrics")).text

            await eventually(all_are_counted)
        async with asyncio.timeout(PATIENCE):
            while True:  # those that were refused are gone after a while
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(HEALTH)
                status = (await reader.readline())[9:12]
                writer.close()
                if status == b"200":
                    break
                await asyncio.sleep(0.1)
