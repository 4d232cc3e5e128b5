"""nginx and HAProxy in front of a real gateway, as docs/tls-and-ingress.md sets them up.

Some end TLS, in front of a gateway that trusts their address. The others pass it on to a gateway that has TLS.
"""

import asyncio
import hashlib
import json
import random
import secrets
import socket
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self, override

import httpx
import pytest
import pytest_asyncio
from aiohttp import web
from h2.events import DataReceived
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError

from control_plane.cluster_scope import connected, fresh_namespace
from control_plane.gateway.neighbours import GuardedAgent, Neighbour, town
from control_plane.gateway.process import Process, serving
from control_plane.gateway.proxies import ENDING, HOST, PASSING, Door, certificate, door
from control_plane.gateway.smuggling import SMUGGLED, Http2, Tap, attacks, http2_attacks, raw
from control_plane.gateway.support import API_KEY, OTHER_API_KEY, Operator, add_api_key, answer
from control_plane.waiting import eventually
from local_cluster.control_plane import ControlPlane
from local_cluster.pki import Pki
from sampling import count, drawn
from sandbox_common.keys import MasterKeys
from sandbox_common.reasons import Reason
from unit.sandbox_gateway.mounted_tls import MountedSecret
from unit.sandbox_gateway.proxy.bad_answers import REFUSED_ANSWERS

pytestmark = pytest.mark.asyncio(loop_scope="module")

MIB = 1024 * 1024
LARGE = count(64 * MIB, 3 * 1024 * MIB)
"""More than the kernel's buffers of the sockets on the way hold."""
SMALL_BUFFER = (socket.SOL_SOCKET, socket.SO_RCVBUF, 256 * 1024)
"""The kernel's buffers can grow to tens of MiB in a connection: of the two ends they stay small."""
CLIENT = "127.0.0.5"
FORGED = {
    "X-Forwarded-For": "203.0.113.9",
    "X-Forwarded-Proto": "gopher",
    "X-Forwarded-Host": "forged.example",
    "Forwarded": "for=203.0.113.9;host=forged.example",
    "X-Real-IP": "203.0.113.9",
}

_BLOCK = random.Random(1).randbytes(MIB)


def blocks(size: int) -> Iterator[bytes]:
    """Pieces of 1 MiB, each different."""
    for number in range(size // MIB):
        yield number.to_bytes(8) + _BLOCK[8:]


class Works(GuardedAgent):
    """Also takes and gives large bodies, echoes, and says what it was sent."""

    def __init__(self) -> None:
        super().__init__()
        self.received = 0
        self.sent = 0
        self.reads = asyncio.Event()
        """Cleared: it takes nothing more of a body."""
        self.reads.set()

    @override
    async def serve(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("X-Session-API-Key") != self.key:
            return await super().serve(request)
        match request.path:
            case "/where":
                fields = ("Host", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "Forwarded", "X-Real-IP")
                return web.json_response({name: request.headers.getall(name, []) for name in fields})
            case "/up":
                return await self._up(request)
            case "/down":
                return await self._down(request)
            case "/held":
                await asyncio.sleep(float(request.query["seconds"]))
                return web.json_response(self.port)
            case "/sockets/echo":
                websocket = web.WebSocketResponse()
                await websocket.prepare(request)
                async for message in websocket:
                    await websocket.send_str(str(message.data))
                return websocket
            case _:
                return await super().serve(request)

    async def _up(self, request: web.Request) -> web.Response:
        self.received, digest = 0, hashlib.sha256()
        assert request.transport is not None
        request.transport.get_extra_info("socket").setsockopt(*SMALL_BUFFER)
        async for data in request.content.iter_any():
            digest.update(data)
            self.received += len(data)
            await self.reads.wait()
        return web.json_response({"size": self.received, "sha256": digest.hexdigest()})

    async def _down(self, request: web.Request) -> web.StreamResponse:
        self.sent, size = 0, int(request.query["size"])
        response = web.StreamResponse(headers={"Content-Length": str(size)})
        await response.prepare(request)
        for block in blocks(size):
            await response.write(block)
            self.sent += len(block)
        return response


@dataclass
class Carol:
    """A sandbox that answers every request with these bytes, and closes."""

    port: int = 0
    key: str = ""
    answer: bytes = b""

    @asynccontextmanager
    async def serving(self) -> AsyncGenerator[Self]:
        """On a port of loopback."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

    async def start(self, gateway: str, operator: Operator) -> None:
        """Have it run as a sandbox of alice's."""
        async with httpx.AsyncClient(base_url=gateway, headers={"X-API-Key": API_KEY}, timeout=60) as http:
            body = {"image": "i", "session_id": "carol", "command": f"agent-server --port {self.port}"}
            started = answer(await http.post("/start", json=body))
        self.key = started["session_api_key"]
        await operator.report(Reason.READY, name=started["runtime_id"], podUID="carol")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(self.answer or b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()
        writer.close()


@dataclass(frozen=True)
class Street:
    """Doors by the names of their configurations, and what is behind them."""

    plain: Process
    """It trusts 127.0.0.1, from where the proxies connect."""
    tls: Process
    """It trusts nobody."""
    alice: Neighbour
    bob: Neighbour
    carol: Carol
    doors: dict[str, Door]
    pki: Pki
    directory: Path

    def gateway_port(self, name: str) -> int:
        """Of the gateway behind a proxy with this configuration."""
        process = self.plain if name in ENDING else self.tls
        return int(process.url.rpartition(":")[2])

    @property
    def trusted(self) -> ssl.SSLContext:
        """Takes the certificate of doors and gateway alone."""
        return ssl.create_default_context(cafile=str(self.pki.ca))

    def client(self, url: str, who: Neighbour | None = None, *, http2: bool = False) -> httpx.AsyncClient:
        """A client at CLIENT, which addresses HOST at this URL."""
        transport = httpx.AsyncHTTPTransport(
            verify=self.trusted, http2=http2, local_address=CLIENT, socket_options=[SMALL_BUFFER]
        )
        key = {} if who is None else {"X-Session-API-Key": who.key}
        return httpx.AsyncClient(transport=transport, base_url=url, headers={"Host": HOST, **key}, timeout=120)

    def websocket(self, at: Door, path: str, **headers: str) -> connect:
        """A WebSocket that sends no pings."""
        return connect(
            f"wss://{HOST}{path}",
            host="127.0.0.1",
            port=at.port,
            ssl=self.trusted,
            additional_headers=headers,
            proxy=None,
            ping_interval=None,
            max_size=None,
        )


def works(of: Neighbour) -> Works:
    """Its agent."""
    assert isinstance(of.agent, Works)
    return of.agent


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def street(
    control_plane: ControlPlane, master_key_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Street]:
    """Two owners with a sandbox each, behind one door of each kind."""
    directory = tmp_path_factory.mktemp("street")
    pki = certificate(directory / "pki")
    secret = MountedSecret(directory / "tls")
    secret.store(pki.certificate("door").read_bytes(), pki.key("door").read_bytes())
    keys = MasterKeys.of({1: (master_key_dir / "v1").read_bytes()})
    settings = ("--access-log=all", "--audit-log=false", "--start-hold-seconds=0", "--poll-hold-seconds=0")
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(connected(control_plane))
        namespace = await stack.enter_async_context(fresh_namespace(client))
        await add_api_key(client, namespace, API_KEY, "alice")
        await add_api_key(client, namespace, OTHER_API_KEY, "bob")
        behind = (control_plane, namespace, master_key_dir, *settings)
        plain, tls = [
            await stack.enter_async_context(one)
            for one in (
                serving(*behind, "--trusted-proxies=127.0.0.1/32"),
                serving(*behind, f"--tls-dir={secret.path}"),
            )
        ]
        operator = Operator(client, namespace, keys)
        inhabited = await stack.enter_async_context(town([plain.url], (API_KEY, OTHER_API_KEY), operator, agents=Works))
        carol = await stack.enter_async_context(Carol().serving())
        await carol.start(plain.url, operator)
        doors: dict[str, Door] = {}
        found = Street(plain, tls, inhabited.alice, inhabited.bob, carol, doors, pki, directory)
        for name in (*ENDING, *PASSING):
            opened = door(name, directory / name, found.gateway_port(name), pki)
            doors[name] = await stack.enter_async_context(opened)
        yield found


async def everywhere(street: Street, check: Callable[[Door], Awaitable[None]]) -> None:
    """Run the check at all doors at once."""
    async with asyncio.TaskGroup() as group:
        for one in street.doors.values():
            group.create_task(_named(check, one))


async def _named(check: Callable[[Door], Awaitable[None]], one: Door) -> None:
    try:
        await check(one)
    except Exception as error:
        error.add_note(f"at {one.name}")
        raise


@pytest.mark.parametrize("http2", [False, True], ids=["http/1.1", "h2"])
async def test_the_clients_scheme_host_and_address(street: Street, http2: bool) -> None:
    async def check(at: Door) -> None:
        ends = at.name in ENDING
        async with street.client(at.url, street.alice, http2=http2) as http:
            response = await http.get("/where", headers=FORGED)
            assert response.http_version == ("HTTP/2" if http2 and ends else "HTTP/1.1")
            assert answer(response) == {
                "Host": [HOST],
                "X-Forwarded-For": [CLIENT if ends else "127.0.0.1"],
                "X-Forwarded-Proto": ["https"],
                "X-Forwarded-Host": [HOST],
                "Forwarded": [],
                "X-Real-IP": [],
            }
            session = await http.get(f"/sessions/{street.alice.session_id}", headers={"X-API-Key": API_KEY, **FORGED})
            assert answer(session)["url"] == f"https://{HOST}"

    await everywhere(street, check)


async def test_an_address_that_is_not_trusted_is_not_believed(street: Street) -> None:
    async with street.client(street.plain.url, street.alice) as http:
        assert answer(await http.get("/where", headers=FORGED)) == {
            "Host": [HOST],
            "X-Forwarded-For": [CLIENT],
            "X-Forwarded-Proto": ["http"],
            "X-Forwarded-Host": [HOST],
            "Forwarded": [],
            "X-Real-IP": [],
        }
        session = await http.get(f"/sessions/{street.alice.session_id}", headers={"X-API-Key": API_KEY, **FORGED})
        assert answer(session)["url"] == f"http://{HOST}"


async def test_the_access_log_has_the_clients_address(street: Street) -> None:
    async def check(at: Door) -> None:
        ends = at.name in ENDING
        process, client_ip = (street.plain, CLIENT) if ends else (street.tls, "127.0.0.1")
        async with street.client(at.url) as http:
            headers = {"X-Session-API-Key": "no-key", **FORGED}
            assert (await http.get("/api/logged", headers=headers)).status_code == 401

        async def logged() -> bool:
            lines = [json.loads(line) for line in process.log.splitlines()]
            refused = [line for line in lines if line["event"] == "request" and line["status"] == 401]
            assert "203.0.113.9" not in process.log
            return any(line["client_ip"] == client_ip for line in refused)

        await eventually(logged)

    await everywhere(street, check)


async def test_websockets_by_header_query_and_first_message(street: Street) -> None:
    async def check(at: Door) -> None:
        for who in (street.alice, street.bob):
            async with street.websocket(at, "/sockets/events", **{"X-Session-API-Key": who.key}) as websocket:
                assert await websocket.recv() == str(who.agent.port)
            async with street.websocket(at, f"/sockets/events?session_api_key={who.key}") as websocket:
                assert await websocket.recv() == str(who.agent.port)
            async with street.websocket(at, "/sockets/events") as websocket:
                await websocket.send(json.dumps({"type": "auth", "session_api_key": who.key}))
                assert await websocket.recv() == str(who.agent.port)
        async with street.websocket(at, "/sockets/echo", **{"X-Session-API-Key": street.bob.key}) as websocket:
            for size in (1, 3 * MIB):
                await websocket.send("x" * size)
                assert await websocket.recv() == "x" * size

    await everywhere(street, check)


async def settled(value: Callable[[], int]) -> int:
    """The value once it has not changed for half a second."""
    loop = asyncio.get_running_loop()
    last, since = value(), loop.time()
    while loop.time() - since < 0.5:
        await asyncio.sleep(0.05)
        if (now := value()) != last:
            last, since = now, loop.time()
    return last


def digest_of(size: int) -> str:
    """SHA-256 of all blocks."""
    digest = hashlib.sha256()
    for block in blocks(size):
        digest.update(block)
    return digest.hexdigest()


@pytest.mark.parametrize("name", [*ENDING, *PASSING])
async def test_large_bodies_stream_and_wait_for_the_slower_side(street: Street, name: str) -> None:
    """Neither memory nor disk of a proxy, or of the gateway, takes them."""
    at, agent = street.doors[name], works(street.alice)
    gateway = street.plain if name in ENDING else street.tls
    before = at.resident, gateway.resident
    sent = 0

    def assert_small() -> None:
        assert at.spilled == []
        assert at.resident - before[0] < 16 * MIB
        assert gateway.resident - before[1] < 32 * MIB

    async def arrived() -> bool:
        return agent.received == sent

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal sent
        for number, block in enumerate(blocks(LARGE)):
            yield block
            sent += len(block)
            if number < 4:  # a proxy that waits for more would wait for ever
                await eventually(arrived, 20)
            elif number == 4:
                agent.reads.clear()

    async with street.client(at.url, street.alice) as http:
        uploading = asyncio.create_task(http.post("/up", content=pieces(), headers={"Content-Length": str(LARGE)}))
        try:

            async def stopped() -> bool:
                return sent > 4 * MIB and not agent.reads.is_set()

            await eventually(stopped, 40)
            assert await settled(lambda: sent) < LARGE
            assert_small()
        finally:
            agent.reads.set()
        sha256 = digest_of(LARGE)
        assert answer(await uploading) == {"size": LARGE, "sha256": sha256}

        digest = hashlib.sha256()
        async with http.stream("GET", "/down", params={"size": LARGE}) as response:
            assert await settled(lambda: agent.sent) < LARGE
            assert_small()
            async for data in response.aiter_raw():
                digest.update(data)
        assert digest.hexdigest() == sha256
    assert_small()


@pytest.mark.parametrize("name", ENDING)
async def test_http_2_in_front(street: Street, name: str) -> None:
    size = 4 * MIB
    async with street.client(street.doors[name].url, http2=True) as http:

        async def use(who: Neighbour) -> None:
            key = {"X-Session-API-Key": who.key}
            for _ in range(10):
                response = await http.get("/any", headers={**key, "Cookie": "a=b; c=d"})
                assert (response.http_version, answer(response)) == ("HTTP/2", who.agent.port)

            async def pieces() -> AsyncIterator[bytes]:
                for block in blocks(size):
                    yield block

            uploaded = answer(await http.post("/up", content=pieces(), headers=key))
            assert uploaded == {"size": size, "sha256": digest_of(size)}
            downloaded = await http.get("/down", params={"size": size}, headers=key)
            assert hashlib.sha256(downloaded.content).hexdigest() == digest_of(size)

        async with asyncio.TaskGroup() as group:  # over one connection
            group.create_task(use(street.alice))
            group.create_task(use(street.bob))


async def test_a_refusal_reaches_a_client_that_is_still_sending(street: Street) -> None:
    async def check(at: Door) -> None:
        for _ in range(5):
            async with street.client(at.url) as http:
                headers = {"X-Session-API-Key": "no-key", "Content-Length": str(8 * MIB)}
                refused = await http.post("/up", content=_each(blocks(8 * MIB)), headers=headers)
                assert refused.status_code == 401, refused.text
                assert refused.json()["detail"]

    await everywhere(street, check)


async def _each(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


SILENCE = 4.0
"""What stands for the 24 hours of the configurations."""
SCALED = {"24h": f"{SILENCE:g}s"}
CLOSER: dict[str, dict[str, str]] = {
    # Other times are shorter than a slow client needs: they must not end its connection.
    "nginx.conf": {"client_body_timeout 2m": "client_body_timeout 3s", "keepalive_timeout 60s": "keepalive_timeout 1s"},
    "haproxy.cfg": {
        "http-request 30s": "http-request 3s",
        "client-fin 30s": "client-fin 1s",
        "server-fin 30s": "server-fin 1s",
    },
    "nginx-passthrough.conf": {},
    "haproxy-passthrough.cfg": {"client-fin 30s": "client-fin 1s", "server-fin 30s": "server-fin 1s"},
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hasty(street: Street) -> AsyncIterator[Street]:
    """The same with doors whose 24 hours are SILENCE."""
    async with AsyncExitStack() as stack:
        doors: dict[str, Door] = {}
        for name, changes in CLOSER.items():
            opened = door(
                name, street.directory / f"hasty-{name}", street.gateway_port(name), street.pki, {**SCALED, **changes}
            )
            doors[name] = await stack.enter_async_context(opened)
        yield replace(street, doors=doors)


async def test_silence_of_websockets_and_held_requests(hasty: Street) -> None:
    """Just the times that the page names as those of silence end it."""

    async def websocket_lives(at: Door) -> None:
        async with hasty.websocket(at, "/sockets/echo", **{"X-Session-API-Key": hasty.alice.key}) as websocket:
            for _ in range(3):
                await asyncio.sleep(0.4 * SILENCE)
                await websocket.send("still here")
                assert await websocket.recv() == "still here"

    async def websocket_is_cut(at: Door) -> None:
        async with hasty.websocket(at, "/sockets/echo", **{"X-Session-API-Key": hasty.alice.key}) as websocket:
            with pytest.raises(ConnectionClosedError):
                await websocket.recv()

    async def request_lives(at: Door) -> None:
        async with hasty.client(at.url, hasty.alice) as http:
            held = await http.get("/held", params={"seconds": 0.4 * SILENCE})
            assert answer(held) == hasty.alice.agent.port

    async def request_is_cut(at: Door) -> None:
        async with hasty.client(at.url, hasty.alice) as http:
            try:
                held = await http.get("/held", params={"seconds": 60})
            except httpx.TransportError:
                assert at.name in PASSING
            else:
                assert (at.name in ENDING, held.status_code) == (True, 504)

    async with asyncio.TaskGroup() as group:
        for check in (websocket_lives, websocket_is_cut, request_lives, request_is_cut):
            group.create_task(everywhere(hasty, check))


async def test_keys_are_not_in_the_logs_of_proxies(hasty: Street) -> None:
    """Neither those in the URL of a request that succeeds nor of one that fails, of which nginx writes an error."""
    key = hasty.bob.key

    async def check(at: Door) -> None:
        async with hasty.client(at.url, hasty.bob) as http:
            answer(await http.get("/short", params={"session_api_key": key}))
            with suppress(httpx.TransportError):
                cut = await http.get("/held", params={"seconds": 60, "session_api_key": key})
                assert cut.status_code == 504

        async def logged() -> bool:
            return "/held" in at.log or at.name in PASSING

        await eventually(logged)
        assert ("/short" in at.log) == (at.name in ENDING)
        assert key not in at.log

    await everywhere(hasty, check)


async def test_slow_clients_are_not_cut_and_block_nobody(hasty: Street) -> None:
    """They move, but need longer than any time of the proxies."""
    pauses, pause = 20, 0.25
    assert pauses * pause > SILENCE

    served = asyncio.Event()

    async def upload(at: Door) -> None:
        sent = 0

        async def drops() -> AsyncIterator[bytes]:
            nonlocal sent
            while sent < pauses or not served.is_set():
                yield b"drop"
                sent += 1
                await asyncio.sleep(pause)

        async with hasty.client(at.url, hasty.alice) as http:
            uploaded = answer(await http.post("/up", content=drops()))
            assert uploaded["sha256"] == hashlib.sha256(b"drop" * sent).hexdigest()

    async def download(at: Door) -> None:
        size = 2 * pauses * MIB
        async with (
            hasty.client(at.url, hasty.alice) as http,
            http.stream("GET", "/down", params={"size": size}) as response,
        ):
            digest, portion = hashlib.sha256(), 0
            async for data in response.aiter_raw():
                digest.update(data)
                portion += len(data)
                if portion > size / pauses:
                    portion = 0
                    await asyncio.sleep(pause)
            assert digest.hexdigest() == digest_of(size)

    async def others(at: Door) -> None:
        async with hasty.client(at.url, hasty.bob) as http:
            for _ in range(10):
                assert answer(await http.get("/any")) == hasty.bob.agent.port

    slow = [asyncio.create_task(everywhere(hasty, check)) for check in (upload, download)]
    await asyncio.sleep(2 * pause)
    await everywhere(hasty, others)  # while each upload goes on
    served.set()
    await asyncio.gather(*slow)


async def test_idle_connections_to_the_gateway_may_end(hasty: Street) -> None:
    async def check(at: Door) -> None:
        async with hasty.client(at.url, hasty.bob) as http:
            for rest in (0.9, 1.0, 1.1, 0):  # nginx closes after a second
                assert answer(await http.post("/any", content=b"x")) == hasty.bob.agent.port
                await asyncio.sleep(rest)

    await everywhere(hasty, check)


ALWAYS_SHARED = {"nginx.conf": {}, "haproxy.cfg": {"backend gateway\n": "backend gateway\n    http-reuse always\n"}}


@asynccontextmanager
async def shared_connections(street: Street, name: str) -> AsyncGenerator[tuple[Door, Tap]]:
    """A door that uses each connection to the gateway for all its clients."""
    async with (
        Tap(street.gateway_port(name)).open() as tap,
        door(name, street.directory / secrets.token_hex(4), tap.port, street.pki, ALWAYS_SHARED[name]) as at,
    ):
        yield at, tap


@pytest.mark.parametrize("name", ENDING)
async def test_no_request_desynchronises_proxy_and_gateway(street: Street, name: str) -> None:
    """After each attempt another client gets its own answers, by connections that the attacker's requests used."""
    attempts = attacks(HOST, street.alice.key)
    victims = 0
    async with (
        shared_connections(street, name) as (at, tap),
        street.client(at.url, street.bob) as bob,
    ):

        async def nothing_happened() -> None:
            nonlocal victims
            for _ in range(2):
                victims += 1
                assert answer(await bob.get(f"/bob-{victims}")) == street.bob.agent.port
            for who in (street.alice, street.bob):
                seen = (*who.agent.opened, *who.agent.refused)
                assert not [path for path in seen if SMUGGLED in path]

        for attempt, data in drawn([*attempts.items()], 35):
            async with raw(at.port, street.trusted, "http/1.1") as (reader, writer):
                writer.write(data)
                with suppress(TimeoutError, ConnectionError):
                    async with asyncio.timeout(0.05):
                        while await reader.read(65536):
                            pass
                await _noted(nothing_happened(), attempt)
        for attempt, (fields, body) in http2_attacks(HOST, street.alice.key).items():
            async with raw(at.port, street.trusted, "h2") as streams:
                http2 = Http2(*streams)
                http2.send(fields, body)
                await http2.answer(0.05)
                await _noted(nothing_happened(), attempt)
        assert tap.connections < victims  # they were shared
    bobs = [path for path in street.bob.agent.opened if path.startswith("/bob-")]
    assert bobs[-victims:] == [f"/bob-{number + 1}" for number in range(victims)]


async def _noted(check: Awaitable[None], attempt: str) -> None:
    try:
        await check
    except Exception as error:
        error.add_note(f"after {attempt!r}")
        raise


@pytest.mark.parametrize("name", ENDING)
async def test_no_sandbox_answers_another_ones_client(street: Street, name: str) -> None:
    """Whatever a sandbox writes to the gateway: the next answer by the same connection of a proxy is another's."""
    poison = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nPOISON"
    ok = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    answers = {name: bad + poison for name, bad in REFUSED_ANSWERS.items()} | {
        "two answers": ok + poison,
        "answer behind 204": b"HTTP/1.1 204 No Content\r\nContent-Length: 60\r\n\r\n" + poison,
        "answer behind 304": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 60\r\n\r\n" + poison,
        "answer behind 103": b"HTTP/1.1 103 Early Hints\r\nContent-Length: 60\r\n\r\n" + poison + poison,
        "answer behind 100": b"HTTP/1.1 100 Continue\r\n\r\n" * 5 + poison + poison,
        "answer behind chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + poison,
        "answer in a trailer": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n" + poison,
        "shorter than its length": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + poison,
        "longer than its chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n" + poison,
    }
    evil = {"X-Session-API-Key": street.carol.key}
    async with (
        shared_connections(street, name) as (at, tap),
        street.client(at.url, street.bob) as bob,
        street.client(at.url) as accomplice,
    ):
        asked = 0
        for attempt, sent in drawn([*answers.items()], 20):
            street.carol.answer = sent
            for method in ("GET",) if attempt in REFUSED_ANSWERS else ("GET", "HEAD"):
                with suppress(httpx.TransportError):  # nginx takes an interim answer for the final one, without an end
                    await accomplice.request(method, "/evil", headers=evil, timeout=1)
                for _ in range(2):
                    asked += 1
                    response = await bob.get("/any")
                    assert (response.status_code, response.text) == (200, str(street.bob.agent.port)), attempt
        assert tap.connections < asked


@pytest.mark.parametrize("name", ENDING)
async def test_a_refusal_reaches_a_client_of_http_2_that_is_still_sending(street: Street, name: str) -> None:
    async with raw(street.doors[name].port, street.trusted, "h2") as streams:
        http2 = Http2(*streams)
        usual = ((":method", "POST"), (":scheme", "https"), (":authority", HOST), (":path", "/up"))
        http2.send((*usual, ("x-session-api-key", "no-key"), ("content-length", str(MIB))), b"begin", end=False)
        status, body = await http2.answer(30)
        assert status == "401"
        assert json.loads(body)["detail"]


async def test_a_websocket_over_http_2_by_haproxy(street: Street) -> None:
    """RFC 8441, which browsers use where it is offered. nginx offers none."""
    async with raw(street.doors["haproxy.cfg"].port, street.trusted, "h2") as streams:
        http2 = Http2(*streams)
        usual = ((":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "https"), (":authority", HOST))
        own = ((":path", "/sockets/events"), ("sec-websocket-version", "13"), ("x-session-api-key", street.bob.key))
        http2.send((*usual, *own), end=False)
        status, data = await http2.answer(30, DataReceived)
        assert status == "200"
        assert str(street.bob.agent.port).encode() in data
