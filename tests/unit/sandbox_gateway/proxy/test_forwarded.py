"""What proxies say about the origin of a request is believed of those that are trusted to, and of nobody else."""

import asyncio
from pathlib import Path
from sys import getrefcount

import httpx
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_gateway.proxy.context import Bounds
from sandbox_gateway.proxy.forwarded import Outside, TrustedProxies, network
from unit.sandbox_gateway.proxy.memory import MemoryClient, Peer, memory_context
from unit.sandbox_gateway.proxy.support import ADDRESS, KEY, OK, Gateway, MemoryDirectory, read_head
from unit.sandbox_gateway.support import ScriptedService, scripted_app

PROXIES = TrustedProxies([network("10.0.3.0/24"), network("fd00:3::/64"), network("::ffff:192.0.2.0/120")])
CLIENT = "203.0.113.7"

ADDRESSES: list[tuple[str, str, str]] = [
    # peer, X-Forwarded-For, client
    ("10.0.3.1", CLIENT, CLIENT),
    ("10.0.3.1", f"1.1.1.1, {CLIENT}", CLIENT),
    ("10.0.3.1", f"1.1.1.1,{CLIENT} ,10.0.3.9", CLIENT),
    ("10.0.3.1", f"10.0.3.5, {CLIENT}, fd00:3::9, 192.0.2.1", CLIENT),
    ("10.0.3.1", f"{CLIENT}:40000", CLIENT),
    ("10.0.3.1", "2001:db8::7", "2001:db8::7"),
    ("10.0.3.1", "[2001:DB8::7]:443", "2001:db8::7"),
    ("10.0.3.1", "::ffff:203.0.113.7", CLIENT),
    ("10.0.3.1", "fe80::1%eth0", "fe80::1"),
    ("::ffff:10.0.3.1", CLIENT, CLIENT),
    ("192.0.2.77", CLIENT, CLIENT),
    ("::ffff:192.0.2.77", CLIENT, CLIENT),
    ("fd00:3::1", CLIENT, CLIENT),
    # All of them are trusted: the first one is as near as it can be known.
    ("10.0.3.1", "10.0.3.8, 10.0.3.9", "10.0.3.8"),
    # What cannot be read ends the chain: the last one that is known.
    ("10.0.3.1", "", "10.0.3.1"),
    ("10.0.3.1", "unknown", "10.0.3.1"),
    ("10.0.3.1", f"{CLIENT}, unknown, 10.0.3.9", "10.0.3.9"),
    ("10.0.3.1", f"{CLIENT},", "10.0.3.1"),
    ("10.0.3.1", "999.1.1.1", "10.0.3.1"),
    # Nobody else is believed.
    (CLIENT, "1.1.1.1", CLIENT),
    ("10.0.4.1", "1.1.1.1", "10.0.4.1"),
    ("fd00:4::1", "1.1.1.1", "fd00:4::1"),
]


def client(
    peer: Peer, proxies: TrustedProxies = PROXIES, *, base_domain: str = "", https: bool = False
) -> MemoryClient:
    directory = MemoryDirectory()
    directory.add(KEY, "abc", ADDRESS)
    context = memory_context(
        directory=directory, proxies=proxies, base_domain=base_domain, https=https, bounds=Bounds()
    )
    return MemoryClient(context, peer)


async def forwarded(asked: MemoryClient, fields: str, host: str = "inner", key: str = KEY) -> list[bytes]:
    """The lines of the request that the sandbox gets, and then answers."""
    asked.transport.deliver(f"GET /a HTTP/1.1\r\nHost: {host}\r\nX-Session-API-Key: {key}\r\n{fields}\r\n".encode())
    await asked.settle()
    _, upstream = asked.pool.opened[0]
    lines, upstream.written = upstream.written.split(b"\r\n"), b""
    upstream.deliver(OK)
    await asked.settle()
    return lines


@pytest.mark.parametrize(("peer", "chain", "client_ip"), ADDRESSES)
async def test_the_clients_address(peer: str, chain: str, client_ip: str) -> None:
    asked = client((peer, 40000))
    lines = await forwarded(asked, f"X-Forwarded-For: {chain}\r\n" if chain else "")
    assert [line for line in lines if line.lower().startswith(b"x-forwarded-for")] == [
        f"X-Forwarded-For: {client_ip}".encode()
    ]
    assert [entry.client_ip for entry in asked.entries] == [client_ip]
    await asked.close()


@pytest.mark.parametrize(
    ("peer", "fields", "proto", "host"),
    [
        ("10.0.3.1", "X-Forwarded-Proto: https\r\nX-Forwarded-Host: outer.example\r\n", "https", "outer.example"),
        ("10.0.3.1", "X-Forwarded-Proto: HTTPS\r\nX-Forwarded-Host: outer:8443\r\n", "https", "outer:8443"),
        ("10.0.3.1", "X-Forwarded-Proto: wss\r\n", "https", "inner"),
        ("10.0.3.1", "X-Forwarded-Proto: http\r\n", "http", "inner"),
        ("10.0.3.1", "X-Forwarded-Proto: gopher\r\nX-Forwarded-Host: a/b\r\n", "http", "inner"),
        ("10.0.3.1", "X-Forwarded-Host: a, user@b\r\n", "http", "inner"),
        # Each of two proxies has added its own; what stands before, the client has made up.
        (
            "10.0.3.1",
            f"X-Forwarded-For: {CLIENT}, 10.0.3.9\r\nX-Forwarded-Proto: gopher, https, http\r\n"
            "X-Forwarded-Host: evil, outer, middle\r\n",
            "https",
            "outer",
        ),
        # The second has kept what the first has said.
        ("10.0.3.1", f"X-Forwarded-For: {CLIENT}, 10.0.3.9\r\nX-Forwarded-Proto: https\r\n", "https", "inner"),
        ("10.0.3.1", f"X-Forwarded-For: {CLIENT}\r\nX-Forwarded-Proto: https, http\r\n", "http", "inner"),
        ("10.0.3.1", "Forwarded: for=1.1.1.1;proto=https;host=evil\r\nX-Real-IP: 1.1.1.1\r\n", "http", "inner"),
        (CLIENT, "X-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\n", "http", "inner"),
    ],
)
async def test_scheme_and_host(peer: str, fields: str, proto: str, host: str) -> None:
    asked = client((peer, 40000))
    lines = await forwarded(asked, fields)
    told = [line for line in lines if line.lower().startswith((b"host", b"x-forwarded-proto", b"x-forwarded-host"))]
    assert told == [
        f"Host: {host}".encode(),
        f"X-Forwarded-Proto: {proto}".encode(),
        f"X-Forwarded-Host: {host}".encode(),
    ]
    assert not any(b"evil" in line or b"1.1.1.1" in line for line in lines)
    await asked.close()


async def test_each_request_of_a_proxys_connection_has_an_origin_of_its_own() -> None:
    asked = client(("10.0.3.1", 40000), https=True)
    first = await forwarded(asked, f"X-Forwarded-For: {CLIENT}\r\nX-Forwarded-Proto: http\r\n")
    second = await forwarded(asked, "X-Forwarded-For: 198.51.100.1\r\n")
    assert b"X-Forwarded-Proto: http" in first
    assert {b"X-Forwarded-For: 198.51.100.1", b"X-Forwarded-Proto: https"} <= set(second)
    assert [entry.client_ip for entry in asked.entries] == [CLIENT, "198.51.100.1"]
    await asked.close()


def test_no_client_fills_the_memory_by_long_fields() -> None:
    proxies = TrustedProxies([network("10.0.3.0/24")])
    chain = b"1.1.1.1, " * 2000 + CLIENT.encode()
    before = getrefcount(chain)
    assert proxies.outside("10.0.3.1", chain, None, None).client_ip == CLIENT
    assert getrefcount(chain) == before


async def test_without_trusted_proxies_nobody_is_believed() -> None:
    asked = client(("10.0.3.1", 40000), TrustedProxies())
    lines = await forwarded(asked, f"X-Forwarded-For: {CLIENT}\r\nX-Forwarded-Proto: https\r\n")
    assert {b"X-Forwarded-For: 10.0.3.1", b"X-Forwarded-Proto: http"} <= set(lines)
    await asked.close()


async def test_the_forwarded_host_names_the_sandbox_in_host_mode() -> None:
    asked = client(("10.0.3.1", 40000), base_domain="box.example")
    lines = await forwarded(asked, "X-Forwarded-Host: ABC.box.example:8443\r\n", host="gateway.svc", key="")
    assert b"Host: ABC.box.example:8443" in lines
    await asked.close()


@given(st.text("0123456789abcdef.:,[]% unkow", max_size=80))
def test_any_chain_is_read(chain: str) -> None:
    outside = PROXIES.outside("10.0.3.1", chain.encode(), None, None)
    assert outside.client_ip
    assert (outside.https, outside.host) == (None, None)


def test_a_long_chain_of_proxies_is_read_from_its_end() -> None:
    chain = b", ".join([b"1.1.1.1", *[b"10.0.3.2"] * 5000])
    assert PROXIES.outside("10.0.3.1", chain, None, None) == Outside("10.0.3.2", None, None)


@pytest.mark.parametrize("trusted", [True, False])
async def test_through_the_listener_the_url_is_the_outsides(tmp_path: Path, trusted: bool) -> None:
    proxies = TrustedProxies([network("127.0.0.0/8")]) if trusted else None
    async with Gateway(tmp_path, proxies=proxies) as gateway:
        await gateway.add_control_app(scripted_app(ScriptedService()))
        fields = {"X-Forwarded-For": CLIENT, "X-Forwarded-Proto": "https", "X-Forwarded-Host": "front.example:8443"}
        async with httpx.AsyncClient(base_url=gateway.url, headers={"X-API-Key": "good", **fields}) as http:
            url = (await http.get("/sessions/s")).json()["url"]
        assert url == ("https://front.example:8443" if trusted else gateway.url)
        [entry] = gateway.log.entries
        assert entry.client_ip == (CLIENT if trusted else "127.0.0.1")


async def test_a_websocket_with_a_first_message_comes_from_the_outside(tmp_path: Path) -> None:
    heads: list[bytes] = []

    async def agent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await read_head(reader))
        writer.write(OK)

    async with Gateway(tmp_path, proxies=TrustedProxies([network("127.0.0.1/32")])) as gateway:
        await gateway.add_raw(agent)
        reader, writer = await gateway.connect()
        writer.write(
            b"GET /sockets/x HTTP/1.1\r\nHost: inner\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
            b"X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: outer\r\n\r\n"
        )
        await read_head(reader)
        message = orjson.dumps({"type": "auth", "session_api_key": KEY})
        writer.write(bytes([0x81, 0x80 | len(message), 0, 0, 0, 0]) + message)
        await reader.read(-1)
        writer.close()
    told = {b"Host: outer", b"X-Forwarded-For: 203.0.113.7", b"X-Forwarded-Proto: https", b"X-Forwarded-Host: outer"}
    assert told <= set(heads[0].split(b"\r\n"))
