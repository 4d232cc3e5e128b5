"""Connections over the bound are refused, and those below it live on."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest
from prometheus_client import REGISTRY

from sandbox_gateway.proxy.context import Bounds
from sandbox_gateway.proxy.crowded import ANSWERED
from unit.sandbox_gateway.proxy.support import OK, REQUEST, Gateway, read_head

MOST = 5
LAST_REQUEST = REQUEST.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await read_head(reader):
            writer.write(OK)

    async with Gateway(tmp_path, bounds=Bounds(connections=MOST)) as gateway:
        await gateway.add_raw(upstream)
        yield gateway


def refused() -> float:
    return REGISTRY.get_sample_value("openhands_sandbox_gateway_refused_connections_total") or 0.0


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(REQUEST)
    async with asyncio.timeout(5):
        assert await reader.readexactly(len(OK)) == OK


async def test_one_too_many_is_told_so(gateway: Gateway) -> None:
    before = refused()
    held = [await gateway.connect() for _ in range(MOST)]
    for one in held:
        await ask(*one)
    for sent in (b"", REQUEST):
        async with asyncio.timeout(5):
            head, _, body = (await gateway.talk(sent)).partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        assert lines[0] == b"HTTP/1.1 503 Service Unavailable"
        assert {b"Connection: close", b"Retry-After: 5", b"Content-Type: application/json"} <= set(lines)
        assert "more replicas" in orjson.loads(body)["detail"]
    assert refused() == before + 2
    for one in held:
        await ask(*one)
    for _, writer in held:
        writer.close()
    async with asyncio.timeout(5):
        while b"200 OK" not in await gateway.talk(LAST_REQUEST):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_who_does_not_leave_takes_no_more_than_a_few_places(gateway: Gateway) -> None:
    held = [await gateway.connect() for _ in range(MOST)]
    for one in held:
        await ask(*one)
    lingering = [await gateway.connect() for _ in range(ANSWERED)]
    async with asyncio.timeout(5):
        for reader, _ in lingering:
            assert (await reader.read(-1)).startswith(b"HTTP/1.1 503 ")
        reader, writer = await gateway.connect()
        assert await reader.read(-1) == b""
    writer.close()
    for one in held:
        await ask(*one)
    for _, writer in [*held, *lingering]:
        writer.close()
