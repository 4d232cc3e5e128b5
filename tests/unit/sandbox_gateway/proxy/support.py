"""What the tests of the data plane share: a directory, a listener, raw servers and clients."""

import asyncio
import contextlib
import socket
import ssl
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import uvicorn
from prometheus_client import REGISTRY

from sandbox_crds.names import service_of
from sandbox_gateway.proxy.context import Bounds
from sandbox_gateway.proxy.directory import Endpoint, NoSandbox, PodAddress, Service
from sandbox_gateway.proxy.forwarded import TrustedProxies
from sandbox_gateway.proxy.listener import Listener, serve
from sandbox_gateway.proxy.meter import Entry

KEY = "key-of-abc"
GONE_KEY = "key-of-a-deleted-sandbox"
DOWN_KEY = "key-of-down"


def at(ip: str, port: int) -> PodAddress:
    """An address of the pod."""
    return PodAddress(ip, port, "pod", "pod-uid")


ADDRESS = at("192.0.2.1", 60000)
DOWN = Endpoint("down", None, "Sandbox down is paused.")
IDLE = Endpoint("abc", None, "It is asleep.", wakes=True)
IDLE_FOR_WEBSOCKETS = Endpoint("abc", None, "It is asleep.", wakes=True, wakes_on_websocket=True)
PAUSED = Endpoint("abc", None, "It is paused.")

HEADERS = {"X-Session-API-Key": KEY}
REQUEST = b"GET /a HTTP/1.1\r\nHost: gw\r\nX-Session-API-Key: key-of-abc\r\n\r\n"
POST = b"POST /a HTTP/1.1\r\nHost: gw\r\nX-Session-API-Key: key-of-abc\r\n"
UPGRADE = REQUEST.replace(b"\r\n\r\n", b"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class MemoryDirectory:
    """Implements `Directory` by two dictionaries."""

    def __init__(self) -> None:
        self.by_key: dict[str, Endpoint | NoSandbox] = {GONE_KEY: NoSandbox.GONE, DOWN_KEY: DOWN}
        self.by_id: dict[str, Endpoint] = {DOWN.runtime_id: DOWN}
        self.services: dict[tuple[str, str], PodAddress] = {}
        """Addresses by service and runtime id."""
        self.news = ScriptedWaker()
        """Of sandboxes that are UNKNOWN, by key."""
        self.api_keys: set[str] | None = None
        """None: every text opens the Runtime API, even none."""

    def add(self, key: str, runtime_id: str, address: PodAddress) -> None:
        self.put(key, Endpoint(runtime_id, address))

    def put(self, key: str, endpoint: Endpoint) -> None:
        self.by_key[key] = self.by_id[endpoint.runtime_id] = endpoint

    def find_by_session_key(self, session_api_key: str) -> Endpoint | NoSandbox:
        return self.by_key.get(session_api_key, NoSandbox.NOT_GENUINE)

    async def await_sandbox(self, session_api_key: str) -> None:
        await self.news.wake(session_api_key)

    def find_by_runtime_id(self, runtime_id: str) -> Endpoint | None:
        return self.by_id.get(runtime_id)

    def find_service(self, label: str) -> Service | None:
        named = service_of(label)
        if named is None:
            return None
        endpoint, address = self.by_id.get(named[1]), self.services.get(named)
        if endpoint is None or address is None:
            return Service(named[0], None, f"{label} is not declared.")
        return Service(named[0], endpoint if endpoint.address is None else replace(endpoint, address=address))

    def opens(self, session_api_key: str, runtime_id: str) -> bool:
        found = self.by_key.get(session_api_key)
        return isinstance(found, Endpoint) and found.runtime_id == runtime_id

    def owner_of_api_key(self, api_key: str) -> str | None:
        return "owner" if self.api_keys is None or api_key in self.api_keys else None


class CountingActivity:
    """Implements `Activity`."""

    def __init__(self) -> None:
        self.in_flight: Counter[str] = Counter()
        self.begun: Counter[str] = Counter()
        self.touched: Counter[str] = Counter()

    def begin(self, runtime_id: str) -> None:
        self.begun[runtime_id] += 1
        self.in_flight[runtime_id] += 1

    def end(self, runtime_id: str) -> None:
        assert self.in_flight[runtime_id] > 0, "ended twice"
        self.in_flight[runtime_id] -= 1

    def touch(self, runtime_id: str) -> None:
        self.touched[runtime_id] += 1


class ScriptedWaker:
    """Implements `Waker`: returns when it is told to."""

    def __init__(self) -> None:
        self.waiting: Counter[str] = Counter()
        self.asked: Counter[str] = Counter()
        self._told = asyncio.Event()

    async def wake(self, runtime_id: str) -> None:
        self.asked[runtime_id] += 1
        self.waiting[runtime_id] += 1
        try:
            await self._told.wait()
        finally:
            self.waiting[runtime_id] -= 1

    def let_go(self) -> None:
        """Return to all that wait."""
        self._told.set()
        self._told = asyncio.Event()

    async def has(self, count: int, runtime_id: str = "abc") -> None:
        """Return once so many wait."""
        async with asyncio.timeout(5):
            while self.waiting[runtime_id] != count:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


class KeptLog:
    """Implements `meter.AccessLog`."""

    def __init__(self) -> None:
        self.everything = True
        self.entries: list[Entry] = []
        self.span = ""
        """The id of the next spans."""

    def new_span(self) -> str:
        return self.span

    def take(self, entry: Entry) -> None:
        self.entries.append(entry)


class Asking:
    """Whether pods have their addresses: they have, unless a test says otherwise. Implements `Ask`."""

    def __init__(self) -> None:
        self.asked: list[PodAddress] = []
        self.answer: str | Exception = ""

    async def __call__(self, address: PodAddress) -> str:
        self.asked.append(address)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


type Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Gateway:
    """A listener on loopback, with whatever servers a test puts behind it."""

    def __init__(
        self,
        directory: Path,
        *,
        base_domain: str = "",
        https: bool = False,
        tls: Callable[[], ssl.SSLContext] | None = None,
        bounds: Bounds | None = None,
        proxies: TrustedProxies | None = None,
    ) -> None:
        self.directory = MemoryDirectory()
        self.activity = CountingActivity()
        self.waker = ScriptedWaker()
        self.log = KeptLog()
        self.asking = Asking()
        self.control_socket = directory / "control.sock"
        self._base_domain = base_domain
        self._https = https
        self._tls = tls
        self._bounds = bounds
        self._proxies = proxies
        self._stack = contextlib.AsyncExitStack()
        self.listener: Listener

    async def __aenter__(self) -> Self:
        self.listener = await serve(
            "127.0.0.1",
            0,
            directory=self.directory,
            activity=self.activity,
            waker=self.waker,
            access_log=self.log,
            ask=self.asking,
            control_socket=self.control_socket,
            base_domain=self._base_domain,
            https=self._https,
            tls=self._tls,
            bounds=self._bounds,
            proxies=self._proxies,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.listener.shutdown(0)
        await self._stack.aclose()
        assert not self.activity.in_flight.total()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.listener.port}"

    async def add_raw(self, handler: Handler, sock: socket.socket | None = None) -> None:
        """A sandbox that is this handler of connections."""
        sock = sock or socket.socket()
        sock.bind(("127.0.0.1", 0))
        server = await asyncio.start_server(_ending(handler), sock=sock)
        self._stack.push_async_callback(_close, server)
        self.directory.add(KEY, "abc", at(*sock.getsockname()))

    async def add_raw_control(self, handler: Handler) -> None:
        server = await asyncio.start_unix_server(_ending(handler), self.control_socket)
        self._stack.push_async_callback(_close, server)

    async def add_app(self, app: Any, key: str = KEY, runtime_id: str = "abc") -> None:
        """A sandbox that is this ASGI app under uvicorn."""
        sock = socket.create_server(("127.0.0.1", 0))
        await self._stack.enter_async_context(_uvicorn(app, sock))
        self.directory.add(key, runtime_id, at(*sock.getsockname()))

    async def add_control_app(self, app: Any) -> None:
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(str(self.control_socket))
        await self._stack.enter_async_context(_uvicorn(app, sock))

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.listener.port)

    async def talk(self, sent: bytes) -> bytes:
        """Send, and read until the gateway closes."""
        reader, writer = await self.connect()
        writer.write(sent)
        received = await reader.read(-1)
        writer.close()
        return received


async def _close(server: asyncio.Server) -> None:
    server.close()


def _ending(handler: Handler) -> Handler:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await handler(reader, writer)
        finally:
            writer.close()

    return handle


@contextlib.asynccontextmanager
async def _uvicorn(app: Any, sock: socket.socket) -> AsyncGenerator[None]:
    config = uvicorn.Config(app, lifespan="off", log_level="error", ws="wsproto", ws_max_size=32 * 1024 * 1024)
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve(sockets=[sock]))
    while not server.started:  # noqa: ASYNC110 (uvicorn has no event for it)
        await asyncio.sleep(0.01)
    try:
        yield
    finally:
        server.should_exit = server.force_exit = True
        await task


async def echo(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """An ASGI app that answers with its name, or streams the request's body back as it comes."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-app", scope["root_path"].encode())]})
    more = scope["method"] == "POST"
    while more:
        event = await receive()
        more = event.get("more_body", False)
        await send({"type": "http.response.body", "body": event.get("body", b""), "more_body": True})
    await send({"type": "http.response.body", "body": scope["raw_path"]})


async def read_head(reader: asyncio.StreamReader) -> bytes:
    return await reader.readuntil(b"\r\n\r\n")


def counted() -> dict[str, float | None]:
    """What the data plane counts as open now, by metric."""
    metrics = ("exchanges", "websockets", "held_requests")
    return {metric: REGISTRY.get_sample_value(f"openhands_sandbox_gateway_{metric}") for metric in metrics}
