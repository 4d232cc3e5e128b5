"""A proxy before the API server that does to requests what clusters do to them now and then."""

import asyncio
import re
import ssl
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import aiohttp
import yaml
from aiohttp import web
from kubernetes.aio import client as kube_client

from local_cluster.control_plane import ControlPlane
from sandbox_common.kube import KubeClient

_RESOURCE = re.compile(r"/(?:namespaces/[^/]+/)(?P<plural>[a-z]+)")
_VERSION = re.compile(rb'"resourceVersion":"(\d{1,18})"')
_HOP_BY_HOP = frozenset({"connection", "content-length", "content-encoding", "host", "keep-alive", "transfer-encoding"})


class Kind(StrEnum):
    """What a fault does."""

    REFUSE = "refused before it is carried out"
    RESET = "connection broken before it is carried out"
    LOSE = "carried out, and the answer lost"
    CUT = "carried out, and the connection broken within the answer"
    DELAY = "late"
    EXPIRE = "a watch whose resource version is too old"
    SILENCE = "a watch that says nothing"
    STALE = "a list of some time ago"


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault; `code` and `retry_after` are of a refusal, `seconds` of a delay or a silence, or a list's age."""

    kind: Kind
    code: int = 0
    retry_after: int | None = None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Asked:
    """A request: its verb as in a Role, and its resource; "" for discovery and the like."""

    verb: str
    resource: str
    user_agent: str


type Plan = Callable[[Asked], Fault | None]


def asked(request: web.Request) -> Asked:
    """What a request is about."""
    match = _RESOURCE.search(request.path)
    resource = match["plural"] if match else ""
    is_list = bool(match) and request.path.endswith(f"/{resource}")
    verb = {"POST": "create", "PATCH": "patch", "PUT": "update", "DELETE": "delete"}.get(request.method, "get")
    if verb == "get" and is_list:
        verb = "watch" if request.query.get("watch") else "list"
    return Asked(verb, resource, request.headers.get("User-Agent", ""))


class FaultProxy:
    """Passes all on with the administrator's rights, but for what `plan` has in store for it."""

    def __init__(self, upstream: str, session: aiohttp.ClientSession, tls: ssl.SSLContext) -> None:
        self.plan: Plan = lambda _: None
        self.seen: list[tuple[Asked, Fault | None]] = []
        self._versions: deque[tuple[float, int]] = deque([(0.0, 0)], maxlen=2000)
        """When each resource version has been seen; the API server still has the lists of each."""
        self._watches: set[aiohttp.ClientResponse] = set()
        self._upstream = upstream
        self._session = session
        self._tls = tls

    def count(self, verb: str, resource: str) -> int:
        """How many such requests have come."""
        return sum((what.verb, what.resource) == (verb, resource) for what, _ in self.seen)

    def end_watches(self) -> None:
        """Break all that are open, as an API server does that is restarted."""
        for watch in self._watches:
            watch.close()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One request."""
        with suppress(ConnectionError, aiohttp.ClientConnectionError):
            return await self._handle(request)
        # Somebody has gone, or shall go.
        return _broken(request)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        what = asked(request)
        fault = self.plan(what)
        self.seen.append((what, fault))
        body = await request.read()
        match fault:
            case Fault(Kind.REFUSE):
                return _refusal(fault)
            case Fault(Kind.RESET):
                return _broken(request)
            case Fault(Kind.DELAY):
                await asyncio.sleep(fault.seconds)
            case Fault(Kind.EXPIRE):
                expired = b'{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired","message":"old"}}\n'
                return web.Response(body=expired, content_type="application/json")
            case _:
                pass
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP}
        url = f"{self._upstream}{request.path_qs}"
        if (
            fault
            and fault.kind is Kind.STALE
            and "continue" not in request.query
            and (version := self._version(fault.seconds))
        ):
            query = {"resourceVersion": str(version), "resourceVersionMatch": "Exact"}
            url = f"{self._upstream}{request.rel_url.update_query(query)}"
        async with self._session.request(
            request.method, url, headers=headers, data=body or None, ssl=self._tls
        ) as answer:
            kept = {name: value for name, value in answer.headers.items() if name.lower() not in _HOP_BY_HOP}
            if fault and fault.kind is Kind.LOSE:
                await answer.read()
                return _broken(request)
            response = web.StreamResponse(status=answer.status, headers=kept)
            # The process may have given up meanwhile.
            with suppress(ConnectionResetError):
                await response.prepare(request)
                if fault and fault.kind is Kind.SILENCE:
                    await asyncio.sleep(fault.seconds)
                    return _broken(request)
                with self._watching(what, answer):
                    async for chunk in answer.content.iter_any():
                        if fault and fault.kind is Kind.CUT:
                            await response.write(chunk[: len(chunk) // 2])
                            return _broken(request)
                        self._note(chunk)
                        await response.write(chunk)
                await response.write_eof()
            return response

    @contextmanager
    def _watching(self, what: Asked, answer: aiohttp.ClientResponse) -> Generator[None]:
        if what.verb == "watch":
            self._watches.add(answer)
        try:
            yield
        finally:
            self._watches.discard(answer)

    def _note(self, chunk: bytes) -> None:
        newest = max(map(int, _VERSION.findall(chunk)), default=0)
        if newest > self._versions[-1][1]:
            self._versions.append((time.monotonic(), newest))

    def _version(self, seconds: float) -> int:
        """The newest resource version that was seen longer ago than that; 0 for none."""
        before = time.monotonic() - seconds
        return next((version for when, version in reversed(self._versions) if when < before), 0)


def _refusal(fault: Fault) -> web.Response:
    wait = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
    body = {"kind": "Status", "apiVersion": "v1", "code": fault.code, "reason": "Fault", "message": "by the proxy"}
    return web.json_response(body, status=fault.code, headers=wait)


def _broken(request: web.Request) -> web.Response:
    if request.transport:
        request.transport.abort()
    return web.Response()


@asynccontextmanager
async def faulty(control_plane: ControlPlane, directory: Path) -> AsyncGenerator[tuple[FaultProxy, Path]]:
    """A proxy, and a kubeconfig in `directory` that leads over it."""
    client = await KubeClient.connect(str(control_plane.kubeconfig))
    configuration: kube_client.Configuration = client.configuration
    tls = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
    assert configuration.cert_file
    tls.load_cert_chain(configuration.cert_file, configuration.key_file)
    await client.close()
    app = web.Application(client_max_size=2**24)
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=False) as session:
        proxy = FaultProxy(control_plane.url, session, tls)
        app.router.add_route("*", "/{path:.*}", proxy.handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        config = yaml.safe_load(control_plane.kubeconfig.read_text())
        config["clusters"][0]["cluster"] = {"server": f"http://127.0.0.1:{runner.addresses[0][1]}"}
        config["users"][0]["user"] = {}
        kubeconfig = directory / "kubeconfig-faulty"
        kubeconfig.write_text(yaml.safe_dump(config))
        try:
            yield proxy, kubeconfig
        finally:
            await runner.cleanup()
