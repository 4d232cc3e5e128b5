"""What is between a process and the API server: requests that come late or fail, watches that lag, and the end of both.

It stands in for the session of aiohttp inside of KubeClient, so that the true client repeats, times out and decodes.
"""

import asyncio
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

import aiohttp
import orjson

from sandbox_common.kube import ApiError, KubeClient, KubeObject
from schedules.api_server import ApiServer, Change, Selector

_PATH = re.compile(r"/namespaces/[^/]+/(?P<plural>[a-z]+)(?:/(?P<name>[^/]+))?(?:/(?P<subresource>[a-z]+))?$")
_VERBS = {"POST": "create", "PATCH": "patch", "DELETE": "delete", "GET": "get"}
_BOOKMARK_SECONDS = 60.0
_SILENCE_SECONDS = 90.0


class Fault(StrEnum):
    """What may become of a request."""

    REFUSED = "refused"
    RESET = "connection broken before it is carried out"
    LOST = "carried out, and the answer lost"
    CONFLICT = "409, although nobody else writes"
    DELAYED = "late"
    STALE = "a list of some time ago"
    CUT = "a watch that breaks"
    EXPIRED = "a watch whose version is too old"
    SILENT = "a watch that says nothing"


_OF_WRITES = (Fault.REFUSED, Fault.RESET, Fault.LOST, Fault.CONFLICT, Fault.DELAYED)
_OF_READS = (Fault.REFUSED, Fault.RESET, Fault.LOST, Fault.DELAYED)
_OF_LISTS = (*_OF_READS, Fault.STALE)
_OF_WATCHES = (Fault.REFUSED, Fault.RESET, Fault.CUT, Fault.EXPIRED, Fault.SILENT)
_CODES = (429, 500, 503, 504)


@dataclass
class Weather:
    """How a process fares. `share` of its requests have a fault, and watches are late by up to `lag` seconds.

    It dies at the write after `left` others, which is carried out if `last_is_sent`; None: it does not die.
    """

    draw: random.Random
    share: float = 0.0
    lag: float = 0.0
    left: int | None = None
    last_is_sent: bool = False
    dead: asyncio.Event = field(default_factory=asyncio.Event)
    tell: Callable[[str], None] = lambda _: None

    def fault(self, kinds: tuple[Fault, ...]) -> Fault | None:
        """That of the next request."""
        return self.draw.choice(kinds) if self.draw.random() < self.share else None


@dataclass(frozen=True, slots=True)
class _Asked:
    verb: str
    plural: str
    name: str
    subresource: str
    query: Mapping[str, str]
    body: Any
    is_json_patch: bool

    @property
    def is_write(self) -> bool:
        return self.verb in {"create", "patch", "delete"}

    def __str__(self) -> str:
        named = self.name or (self.body["metadata"]["name"] if self.is_write else "")
        return f"{self.verb} {'/'.join(filter(None, (self.plural, self.subresource)))} {named}"


class _Answer:
    """As much of aiohttp.ClientResponse as KubeClient uses."""

    reason = ""

    def __init__(self, status: int, body: KubeObject, headers: Mapping[str, str] | None = None) -> None:
        self.status = status
        self.headers = headers or {}
        self._body = body

    async def read(self) -> bytes:
        return orjson.dumps(self._body)

    def close(self) -> None:
        """Nothing is open."""


class _Watch:
    """An open watch: the response, and its content."""

    status = 200

    def __init__(
        self, server: ApiServer, selector: Selector, since: int, weather: Weather, fault: Fault | None
    ) -> None:
        self.content = self
        self._server = server
        self._selector = selector
        self._since = since
        self._weather = weather
        self._fault = fault
        self._left = weather.draw.randrange(4)
        self._position = len(server.changes)
        while self._position and server.changes[self._position - 1].version > since:
            self._position -= 1
        self._news = asyncio.Event()
        server.listeners.append(self._changed)

    def _changed(self, _: Change) -> None:
        self._news.set()

    def close(self) -> None:
        """Stop listening."""
        if self._changed in self._server.listeners:
            self._server.listeners.remove(self._changed)

    async def readline(self) -> bytes:
        """The next event."""
        if self._fault is Fault.EXPIRED:
            status = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}
            return orjson.dumps({"type": "ERROR", "object": status})
        if self._fault is Fault.SILENT:
            await asyncio.sleep(_SILENCE_SECONDS)
            raise aiohttp.SocketTimeoutError
        while True:
            while self._position < len(self._server.changes):
                change = self._server.changes[self._position]
                self._position += 1
                if event := self._event(change):
                    return await self._late(event, change.at)
            self._news.clear()
            try:
                async with asyncio.timeout(_BOOKMARK_SECONDS):
                    await self._news.wait()
            except TimeoutError:
                mark = {"metadata": {"resourceVersion": str(self._server.version)}}
                return await self._late({"type": "BOOKMARK", "object": mark}, 0.0)

    async def _late(self, event: KubeObject, at: float) -> bytes:
        # Each watch has its own lag, so the news of one resource may overtake those of another.
        due = at + self._weather.draw.choice((0.0, 0.0, 0.3, 1.0)) * self._weather.lag
        await asyncio.sleep(max(due - asyncio.get_running_loop().time(), 0.0))
        self._left -= 1
        if self._fault is Fault.CUT and self._left < 0:
            self._weather.tell(f"the watch of {self._selector.plural} breaks")
            raise aiohttp.ClientPayloadError
        return orjson.dumps(event)

    def _event(self, change: Change) -> KubeObject | None:
        if change.plural != self._selector.plural:
            return None
        was, is_ = self._selector.takes(change.before), self._selector.takes(change.after)
        if is_:
            return {"type": "MODIFIED" if was else "ADDED", "object": change.after}
        if not was:
            return None
        last = change.after or change.before
        assert last
        gone = {**last, "metadata": {**last["metadata"], "resourceVersion": str(change.version)}}
        return {"type": "DELETED", "object": gone}


class Session:
    """Stands in for aiohttp.ClientSession."""

    def __init__(self, server: ApiServer, weather: Weather) -> None:
        self._server = server
        self._weather = weather

    async def close(self) -> None:
        """Nothing is open."""

    async def request(
        self, method: str, url: str, *, headers: Mapping[str, str], data: bytes | None, **_: Any
    ) -> _Answer | _Watch:
        """One request."""
        weather = self._weather
        parts = urlsplit(url)
        match = _PATH.search(parts.path)
        if match is None:
            return _refusal(ApiError(404, "NotFound", "the server could not find the requested resource"))
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        asked = _Asked(
            _VERBS[method] if match["name"] or method == "POST" else "watch" if "watch" in query else "list",
            match["plural"],
            match["name"] or "",
            match["subresource"] or "",
            query,
            data and orjson.loads(data),
            headers["Content-Type"] == "application/json-patch+json",
        )
        if weather.dead.is_set():
            await _for_ever()
        await asyncio.sleep(weather.draw.uniform(0.001, 0.02))
        if asked.verb == "watch":
            return self._watch(asked)
        if asked.is_write and weather.left is not None:
            weather.left -= 1
            if weather.left < 0:
                await self._die(asked)
        return await self._answer(asked)

    async def _die(self, asked: _Asked) -> None:
        if not self._weather.dead.is_set():
            self._weather.dead.set()
            if self._weather.last_is_sent:
                _attempt(self._server, asked)
            when = "after" if self._weather.last_is_sent else "before"
            self._weather.tell(f"it dies {when} {asked}")
        await _for_ever()

    def _watch(self, asked: _Asked) -> _Answer | _Watch:
        fault = self._weather.fault(_OF_WATCHES)
        if refusal := self._fail(fault, asked):
            return refusal
        since = int(asked.query["resourceVersion"])
        return _Watch(self._server, _selector(asked), since, self._weather, fault)

    async def _answer(self, asked: _Asked) -> _Answer:
        kinds = _OF_WRITES if asked.is_write else _OF_LISTS if asked.verb == "list" else _OF_READS
        fault = self._weather.fault(kinds)
        if fault is Fault.DELAYED:
            self._weather.tell(f"{asked} is delayed")
            await asyncio.sleep(self._weather.draw.uniform(0.1, 4))
        if refusal := self._fail(fault, asked):
            return refusal
        if fault is Fault.STALE:
            at = self._server.version - self._weather.draw.randrange(12)
            self._weather.tell(f"{asked} is answered as of {at}, not {self._server.version}")
            return _listed(self._server, asked, max(at, 100))
        answer = _attempt(self._server, asked)
        if asked.is_write:
            self._weather.tell(f"{asked}: {answer.status}")
        # The answer takes its way, too.
        await asyncio.sleep(self._weather.draw.uniform(0.001, 0.02))
        if fault is Fault.LOST:
            self._weather.tell("and the answer is lost")
            raise aiohttp.ServerDisconnectedError
        return answer

    def _fail(self, fault: Fault | None, asked: _Asked) -> _Answer | None:
        match fault:
            case Fault.REFUSED:
                code = self._weather.draw.choice(_CODES)
                self._weather.tell(f"{asked} is refused: {code}")
                return _refusal(ApiError(code, "Fault", "not now"))
            case Fault.CONFLICT:
                self._weather.tell(f"{asked} is refused: 409")
                return _refusal(ApiError(409, "Conflict", "a race inside of the API server"))
            case Fault.RESET:
                self._weather.tell(f"{asked} is not sent")
                raise aiohttp.ServerDisconnectedError
            case _:
                return None


def _attempt(server: ApiServer, asked: _Asked) -> _Answer:
    try:
        match asked.verb:
            case "create":
                return _Answer(201, server.create(asked.plural, asked.body))
            case "patch" if asked.is_json_patch:
                return _Answer(200, server.json_patch(asked.plural, asked.name, asked.body))
            case "patch":
                return _Answer(200, server.patch(asked.plural, asked.name, asked.body, asked.subresource))
            case "delete":
                body = asked.body
                server.delete(asked.plural, asked.name, body.get("preconditions"), body.get("gracePeriodSeconds"))
                return _Answer(200, {})
            case "get":
                return _Answer(200, server.get(asked.plural, asked.name))
            case _:
                return _listed(server, asked)
    except ApiError as error:
        return _refusal(error)


def _listed(server: ApiServer, asked: _Asked, at: int = 0) -> _Answer:
    items = server.list(_selector(asked), at)
    return _Answer(200, {"metadata": {"resourceVersion": str(at or server.version)}, "items": items})


def _selector(asked: _Asked) -> Selector:
    return Selector(asked.plural, asked.query.get("labelSelector", ""), asked.query.get("fieldSelector", ""))


def _refusal(error: ApiError) -> _Answer:
    return _Answer(error.code, {"kind": "Status", "reason": error.reason, "message": error.message})


async def _for_ever() -> None:
    await asyncio.get_running_loop().create_future()


class _Api:
    """As much of kubernetes.aio.client.ApiClient as KubeClient uses."""

    user_agent = ""
    configuration = SimpleNamespace(host="", proxy=None, proxy_headers=None, tls_server_name=None)

    async def update_params_for_auth(self, *_: object) -> None:
        """There are no credentials."""

    async def close(self) -> None:
        """Nothing is open."""


def client_of(server: ApiServer, weather: Weather) -> KubeClient:
    """The true client of a process in this weather."""
    return KubeClient(cast(Any, _Api()), cast(aiohttp.ClientSession, Session(server, weather)))
