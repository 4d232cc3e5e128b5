"""TLS at the listener: the same requests, WebSockets and ends as without it, and what cannot be had without it."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from sandbox_gateway.process.certificates import Certificates
from sandbox_gateway.proxy.context import Bounds
from unit.sandbox_gateway.mounted_tls import MountedSecret, Pair
from unit.sandbox_gateway.proxy.support import HEADERS, KEY, OK, POST, REQUEST, Gateway, counted, echo, read_head

BOUNDS = Bounds(tls_handshake_seconds=0.5, linger_seconds=0.5, connections=20)
LARGE = bytes(range(256)) * 40_000  # 10 MB

type Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return Pair.make(tmp_path_factory.mktemp("pair"))


@contextlib.asynccontextmanager
async def listening(directory: Path, pair: Pair) -> AsyncGenerator[Gateway]:
    secret = MountedSecret(directory / "tls")
    secret.store(pair.certificate, pair.key)
    certificates = Certificates(secret.path)
    async with Gateway(directory, https=True, tls=lambda: certificates.context, bounds=BOUNDS) as gateway:
        yield gateway


@pytest.fixture
async def gateway(tmp_path: Path, pair: Pair) -> AsyncIterator[Gateway]:
    before = counted()
    async with listening(tmp_path, pair) as gateway:
        yield gateway
    assert counted() == before


async def connected(gateway: Gateway, context: ssl.SSLContext) -> Streams:
    return await asyncio.open_connection("127.0.0.1", gateway.listener.port, ssl=context)


async def until_none_is_left(gateway: Gateway) -> None:
    async with asyncio.timeout(5):
        while gateway.listener._context.clients:  # noqa: ASYNC110  # pyright: ignore[reportPrivateUsage]
            await asyncio.sleep(0.02)


async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await read_head(reader):
        writer.write(OK)


async def test_requests_large_bodies_both_ways_and_the_scheme(gateway: Gateway, pair: Pair) -> None:
    schemes: list[str] = []

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        schemes.append(dict(scope["headers"])[b"x-forwarded-proto"].decode())
        await echo(scope, receive, send)

    await gateway.add_app(app)
    url = f"https://127.0.0.1:{gateway.listener.port}"
    async with httpx.AsyncClient(base_url=url, verify=pair.trusted(), headers=HEADERS, trust_env=False) as http:
        assert (await http.get("/a")).content == b"/a"
        assert (await http.post("/a", content=LARGE)).content == LARGE + b"/a"
    assert schemes == ["https", "https"]
    await until_none_is_left(gateway)


async def test_pipelined_requests_and_one_in_the_packet_of_the_handshakes_end(gateway: Gateway, pair: Pair) -> None:
    await gateway.add_raw(answers)
    # With sockets of its own the client's last flight and its first request go out together.
    client, to_server, to_client = pair.trusted(), ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = client.wrap_bio(to_client, to_server, server_hostname="localhost")
    reader, writer = await gateway.connect()
    while True:
        try:
            tls.do_handshake()
            break
        except ssl.SSLWantReadError:
            writer.write(to_server.read())
            to_client.write(await reader.read(65536))
    tls.write(REQUEST * 3)
    writer.write(to_server.read())
    received = b""
    async with asyncio.timeout(5):
        while received != OK * 3:
            with contextlib.suppress(ssl.SSLWantReadError):
                received += tls.read(65536)
                continue
            to_client.write(await reader.read(65536))
    writer.close()


async def test_websockets_by_header_and_by_first_message(gateway: Gateway, pair: Pair) -> None:
    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while (event := await receive())["type"] == "websocket.receive":
            if event.get("text") == "end":
                await send({"type": "websocket.close", "code": 4004})
                return
            await send({**event, "type": "websocket.send"})

    await gateway.add_app(app)
    url = f"wss://127.0.0.1:{gateway.listener.port}/sockets/events/1"
    async with connect(url, ssl=pair.trusted(), additional_headers=HEADERS, max_size=None, proxy=None) as websocket:
        await websocket.send(LARGE)
        assert await websocket.recv() == LARGE
        await websocket.send("end")
        with pytest.raises(ConnectionClosed) as closed:
            await websocket.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4004
    first = orjson.dumps({"type": "auth", "session_api_key": KEY}).decode()
    async with connect(url, ssl=pair.trusted(), proxy=None) as websocket:
        await websocket.send(first)
        assert await websocket.recv() == first
    await until_none_is_left(gateway)


async def test_a_refusal_reaches_a_client_that_is_still_sending(gateway: Gateway, pair: Pair) -> None:
    reader, writer = await connected(gateway, pair.trusted())
    writer.write(POST.replace(b"key-of-abc", b"wrong") + b"Content-Length: %d\r\n\r\n" % len(LARGE))
    for start in range(0, len(LARGE), 1 << 20):
        writer.write(LARGE[start : start + (1 << 20)])
        with contextlib.suppress(ConnectionError):
            await writer.drain()
    async with asyncio.timeout(5):
        head = await read_head(reader)
        assert head.startswith(b"HTTP/1.1 401 ")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        assert "session keys" in orjson.loads(await reader.readexactly(length))["detail"]
    writer.close()
    await until_none_is_left(gateway)


async def test_a_response_that_ends_with_its_connection_ends_cleanly_or_not_at_all(
    gateway: Gateway, pair: Pair
) -> None:
    ends = asyncio.Event()

    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + LARGE)
        if ends.is_set():
            return
        await writer.drain()
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        writer.transport.abort()

    await gateway.add_raw(upstream)
    ends.set()
    reader, writer = await connected(gateway, pair.trusted())
    writer.write(REQUEST)
    assert (await reader.read(-1)).endswith(LARGE)
    writer.close()
    ends.clear()
    reader, writer = await connected(gateway, pair.trusted())
    writer.write(REQUEST)
    with pytest.raises(ConnectionResetError):
        await reader.read(-1)
    writer.close()
    await until_none_is_left(gateway)


@pytest.mark.parametrize(
    "sent",
    [REQUEST, b"", b"\x16\x03\x01\x02\x00\x01\x00\x01", b"\x16\x03\x01\xff\xff" + b"x" * 70_000, b"\0" * 100_000],
    ids=["plain HTTP", "nothing", "half a handshake", "garbage in a record", "garbage"],
)
async def test_what_is_no_handshake_is_ended_and_disturbs_nobody(gateway: Gateway, pair: Pair, sent: bytes) -> None:
    await gateway.add_raw(answers)
    good_reader, good_writer = await connected(gateway, pair.trusted())
    reader, writer = await gateway.connect()
    writer.write(sent)
    async with asyncio.timeout(5):
        with contextlib.suppress(ConnectionResetError):
            assert b"HTTP/1.1 2" not in await reader.read(-1)
    writer.close()
    good_writer.write(REQUEST)
    assert await good_reader.readexactly(len(OK)) == OK
    good_writer.close()
    await until_none_is_left(gateway)


async def test_unfinished_handshakes_count_as_connections(gateway: Gateway, pair: Pair) -> None:
    half = [await gateway.connect() for _ in range(BOUNDS.connections)]
    await asyncio.sleep(0.05)
    with pytest.raises((OSError, asyncio.IncompleteReadError)):
        await connected(gateway, pair.trusted())
    for reader, writer in half:
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read(-1) == b""
        writer.close()
    await until_none_is_left(gateway)
    (await connected(gateway, pair.trusted()))[1].close()


async def test_an_idle_client_that_says_no_farewell_counts_until_its_socket_is_closed(
    tmp_path: Path, pair: Pair
) -> None:
    bounds = Bounds(idle_seconds=0.1, head_seconds=0.1, linger_seconds=0.3)
    secret = MountedSecret(tmp_path / "tls")
    secret.store(pair.certificate, pair.key)
    certificates = Certificates(secret.path)
    async with Gateway(tmp_path, https=True, tls=lambda: certificates.context, bounds=bounds) as gateway:
        raw = socket.create_connection(("127.0.0.1", gateway.listener.port), timeout=5)
        silent = await asyncio.to_thread(pair.trusted().wrap_socket, raw, server_hostname="localhost")
        await until_none_is_left(gateway)
        with socket.socket(fileno=silent.detach()) as left:
            left.settimeout(2)
            with contextlib.suppress(ConnectionResetError):
                while left.recv(4096):
                    pass


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
async def test_old_versions_are_refused(gateway: Gateway, pair: Pair, version: ssl.TLSVersion) -> None:
    old = pair.trusted()
    old.set_ciphers("ALL:@SECLEVEL=0")  # else OpenSSL's client would not even ask
    with pytest.warns(DeprecationWarning, match="deprecated"):
        old.minimum_version = old.maximum_version = version
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await connected(gateway, old)
    old.maximum_version = ssl.TLSVersion.TLSv1_2  # the control: with a newer one it would get in
    (await connected(gateway, old))[1].close()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_http_1_1_alone_is_agreed_on(gateway: Gateway, pair: Pair, version: ssl.TLSVersion) -> None:
    client = pair.trusted()
    client.minimum_version = client.maximum_version = version
    client.set_alpn_protocols(["h2", "http/1.1"])
    _, writer = await connected(gateway, client)
    assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"
    writer.close()


async def test_the_end_lets_requests_finish_and_cuts_handshakes(tmp_path: Path, pair: Pair) -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        asked.set()
        await go_on.wait()
        writer.write(OK)

    async with listening(tmp_path, pair) as gateway:
        await gateway.add_raw(upstream)
        half = await gateway.connect()
        reader, writer = await connected(gateway, pair.trusted())
        writer.write(REQUEST)
        await asked.wait()
        ending = asyncio.create_task(gateway.listener.shutdown(5))
        await asyncio.sleep(0.05)
        go_on.set()
        got = await reader.read(-1)
        assert got.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"Connection: close\r\n" in got
        writer.close()
        await asyncio.wait_for(ending, 5)
        half[1].close()
