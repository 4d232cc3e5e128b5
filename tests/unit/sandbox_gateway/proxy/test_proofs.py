"""A connection is proven before anything is sent on it: connect, ask, send."""

import asyncio
import struct
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from prometheus_client import REGISTRY
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from wsproto.utilities import generate_accept_token

from sandbox_gateway.proxy import proofs
from sandbox_gateway.proxy.directory import PodAddress
from sandbox_gateway.proxy.proofs import Proofs, UnprovenError, WrongPodError
from unit.sandbox_gateway.proxy.memory import MemoryClient
from unit.sandbox_gateway.proxy.support import ADDRESS, HEADERS, KEY, OK, REQUEST, Gateway, read_head


class Pod:
    """An agent server that counts its connections, and keeps what it is sent. Its WebSockets stay silent."""

    def __init__(self) -> None:
        self.connections = 0
        self.received = b""
        self.writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        while head := await read_head(reader):
            self.received += head
            if b"Upgrade: websocket" in head:
                key = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key: "))
                accept = generate_accept_token(key.partition(b": ")[2])
                writer.write(
                    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    b"Sec-WebSocket-Accept: %b\r\n\r\n" % accept
                )
                self.received += await reader.read(-1)
                return
            writer.write(OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
            return


@pytest.fixture
async def pod() -> Pod:
    return Pod()


@pytest.fixture
async def gateway(tmp_path: Path, pod: Pod) -> AsyncIterator[Gateway]:
    async with Gateway(tmp_path) as gateway:
        await gateway.add_raw(pod.serve)
        yield gateway


def refusals(cause: str) -> float:
    return REGISTRY.get_sample_value("openhands_sandbox_gateway_unproven_connections_total", {"cause": cause}) or 0


def websocket(gateway: Gateway, headers: dict[str, str] | None = HEADERS) -> connect:
    return connect(
        gateway.url.replace("http", "ws", 1) + "/sockets/a", additional_headers=headers, proxy=None, close_timeout=0.1
    )


async def ask(gateway: Gateway) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False) as http:
        return await http.get(f"{gateway.url}/a", headers=HEADERS)


async def test_the_pod_is_asked_about_when_the_connection_exists_and_nothing_has_been_sent(
    gateway: Gateway, pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, bytes]] = []

    async def look(_: object, address: PodAddress) -> str:
        await asyncio.sleep(0.05)
        seen.append((pod.connections, pod.received))
        return ""

    monkeypatch.setattr(type(gateway.asking), "__call__", look)
    assert (await ask(gateway)).status_code == 200
    assert seen == [(1, b"")]
    assert KEY.encode() in pod.received


@pytest.mark.parametrize(
    ("answer", "cause", "words"),
    [("is gone", "pod", "its pod is gone"), (UnprovenError("cut"), "api_server", "Kubernetes API server, which says")],
)
async def test_a_connection_that_is_not_proven_gets_nothing(
    gateway: Gateway, pod: Pod, answer: str | Exception, cause: str, words: str
) -> None:
    gateway.asking.answer = answer
    before = refusals(cause)
    refused = await ask(gateway)
    assert (refused.status_code, int(refused.headers["Retry-After"]) > 0) == (503, True)
    assert words in refused.json()["detail"]
    with pytest.raises(InvalidStatus) as in_handshake:
        async with websocket(gateway):
            pass
    assert in_handshake.value.response.status_code == 503
    async with websocket(gateway, None) as talk:
        await talk.send(f'{{"type": "auth", "session_api_key": "{KEY}"}}')
        with pytest.raises(ConnectionClosed):
            await talk.recv()
        assert talk.close_code == 1013
    assert pod.received == b""
    assert pod.connections == 3
    assert refusals(cause) - before == 3
    gateway.asking.answer = ""
    assert (await ask(gateway)).status_code == 200


async def test_a_kept_connection_is_for_its_pod_alone_and_needs_no_other_proof() -> None:
    client = MemoryClient()
    for _ in range(3):
        client.transport.deliver(REQUEST)
        await client.settle()
        await asyncio.sleep(0.01)
        client.pool.opened[0][1].deliver(OK)
        await client.settle()
    assert client.pool.asking.asked == [ADDRESS]
    cast(Any, client.context.directory).add(KEY, "abc", ADDRESS._replace(uid="another"))
    client.transport.deliver(REQUEST)
    await client.settle()
    await asyncio.sleep(0.01)
    assert [address for address, _ in client.pool.opened] == [ADDRESS, ADDRESS._replace(uid="another")]
    await client.close()


async def test_an_open_connection_proves_a_new_one_while_the_api_server_is_away(gateway: Gateway, pod: Pod) -> None:
    """Its pod's kernel answers although nobody in the pod says anything."""
    async with websocket(gateway):
        gateway.asking.answer = UnprovenError("cut")
        assert (await ask(gateway)).status_code == 200
        gateway.asking.answer = "is gone"
        assert (await ask(gateway)).status_code == 503, "an answer counts more than a witness"
        gateway.asking.answer = UnprovenError("cut")
        for writer in pod.writers:
            writer.transport.abort()  # as when a pod's network is gone
        await asyncio.sleep(0.05)
        assert (await ask(gateway)).status_code == 503


async def test_an_answer_that_comes_late_ends_the_wait_for_witnesses(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proofs, "_PROMPT_SECONDS", 0.02)

    def heard(*_: object) -> bool:
        return False

    monkeypatch.setattr(proofs, "_has_heard", heard)
    monkeypatch.setattr(proofs, "_WITNESS_SECONDS", 60)

    answers = iter(("", "is gone"))

    async def late(*_: object) -> str:
        await asyncio.sleep(0.1)
        return next(answers)

    async with websocket(gateway):
        monkeypatch.setattr(type(gateway.asking), "__call__", late)
        for status in (200, 503):
            async with asyncio.timeout(10):
                assert (await ask(gateway)).status_code == status


class Told:
    """A transport whose kernel says this."""

    def __init__(self, info: bytes) -> None:
        self.idle: list[int] = []
        self._info = info

    def get_extra_info(self, _: str) -> "Told":
        return self

    def getsockopt(self, *_: int) -> bytes:
        return self._info

    def is_closing(self) -> bool:
        return False


def info(data_ago: int, ack_ago: int, state: int = 1) -> bytes:
    return bytes([state]).ljust(52, b"\0") + struct.pack("II", data_ago, ack_ago)


@pytest.mark.parametrize(
    ("told", "heard"),
    [
        (info(5000, 100), True),
        (info(100, 5000), True),
        (info(5000, 990), False),  # the clocks may differ by as much
        (info(5000, 5000), False),
        (info(0, 0), False),  # a kernel that does not count
        (info(100, 100, state=8), False),  # the peer has closed
        (info(100, 100)[:56], False),
    ],
)
def test_what_a_kernel_must_have_heard(told: bytes, heard: bool) -> None:
    transport = cast(asyncio.Transport, Told(told))
    assert proofs._has_heard(transport, time.monotonic() - 1.0) is heard  # pyright: ignore[reportPrivateUsage]


async def test_of_connections_that_are_gone_nothing_is_kept(gateway: Gateway) -> None:
    known = cast(Any, gateway.listener)._context.pool._proofs._witnesses
    sockets: list[ClientConnection] = []
    for _ in range(10):
        sockets.append(await websocket(gateway))
    [kept] = known.values()
    assert len(kept) == 8
    for talk in sockets:
        talk.transport.abort()
    async with asyncio.timeout(10):
        while known:  # noqa: ASYNC110 (nobody else knows)
            await asyncio.sleep(0.02)


async def test_errors_are_those_of_connections() -> None:
    async def gone(_: PodAddress) -> str:
        return "is gone"

    for error in (WrongPodError("its pod is gone"), UnprovenError("cut")):
        assert isinstance(error, OSError)
        assert str(error) in proofs.said(error)
    assert proofs.said(ConnectionRefusedError("x")) == "ConnectionRefusedError"
    with pytest.raises(WrongPodError, match="its pod is gone"):
        await Proofs(gone).prove(ADDRESS, cast(asyncio.Transport, None))
