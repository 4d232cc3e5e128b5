"""The console over sandboxes in memory, and a browser's side of it."""

import re
from collections.abc import AsyncGenerator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import httpx
from starlette.types import ASGIApp

from sandbox_common.api_keys import ApiKey, Hash, Limits, Policy
from sandbox_common.keys import api_key_hash
from sandbox_common.sandboxes.view import View
from sandbox_common.usage import Days
from sandbox_crds.models import Sandbox, SandboxPool
from sandbox_gateway.console.app import Console
from sandbox_gateway.console.rows import Rows
from sandbox_gateway.console.sessions import Sessions
from sandbox_gateway.runtime_api.audit import Auditor
from sandbox_gateway.runtime_api.explanations import Explanations
from sandbox_gateway.runtime_api.histories import Histories
from sandbox_gateway.runtime_api.streams import Streams
from sandbox_gateway.sandboxes.api_keys import ApiKeys
from sandbox_gateway.sandboxes.cache import SandboxCache
from sandbox_gateway.sandboxes.capacity import Capacity
from sandbox_gateway.sandboxes.classes import SandboxClasses
from sandbox_gateway.sandboxes.limit_checks import LimitChecks
from sandbox_gateway.sandboxes.logs import LogQuery, Logs
from sandbox_gateway.sandboxes.permissions import Permissions
from sandbox_gateway.sandboxes.pools import Pools
from sandbox_gateway.sandboxes.service import SandboxService
from sandbox_gateway.sandboxes.usage import Usage
from unit.sandbox_gateway.support import (
    KEYS,
    Classes,
    ScriptedExplanations,
    ScriptedHistories,
    ScriptedService,
    unconnected_cache,
)

ORIGIN = "http://console.test"
FROM_A_PAGE = {"Sec-Fetch-Site": "same-origin", "Origin": ORIGIN}
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class KeyRing:
    """API keys by the name of their Secret, without an informer."""

    def __init__(self, clock: "Clock") -> None:
        self._clock = clock
        self.keys: dict[str, ApiKey] = {}

    def add(self, name: str, api_key: str, owner: str, expires: datetime | None = None, *, admin: bool = False) -> None:
        """A key with this text."""
        self.keys[name] = ApiKey(name, owner, (Hash(api_key_hash(api_key), expires),), Policy(admin=admin))

    def named(self, name: str) -> ApiKey | None:
        """Like ApiKeys.named."""
        return self.keys.get(name)

    def find(self, api_key: str) -> ApiKey | None:
        """Like ApiKeys.find."""
        digest, now = api_key_hash(api_key), self._clock()
        valid = (k for k in self.keys.values() if any(h.sha256 == digest and h.valid_at(now) for h in k.hashes))
        return next(valid, None)


class FixedPools:
    """Pools without an informer."""

    def __init__(self) -> None:
        self.known: list[SandboxPool] = []

    async def of_classes(self, class_names: Collection[str] | None) -> list[SandboxPool]:
        """Like Pools.of_classes."""
        return [pool for pool in self.known if class_names is None or pool.spec.class_name in class_names]


class Clock:
    """The time of the tests."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)


@dataclass
class Town:
    """A console, and what it shows."""

    clock: Clock = field(default_factory=Clock)
    cache: SandboxCache = field(default_factory=unconnected_cache)
    service: ScriptedService = field(default_factory=ScriptedService)
    limits: Limits = field(default_factory=Limits)
    log: bytes = b""
    log_queries: list[LogQuery] = field(default_factory=list[LogQuery])
    days: dict[str, Days] = field(default_factory=dict[str, Days])
    """What each owner has used."""

    def __post_init__(self) -> None:
        self.ring = KeyRing(self.clock)
        self.ring.add("alice-1", "key-of-alice", "alice")
        self.ring.add("bob-1", "key-of-bob", "bob")
        self.histories = ScriptedHistories()
        self.pools = FixedPools()
        self.streams = Streams()
        self.sessions = Sessions(KEYS, cast("ApiKeys", self.ring), self.clock)

    def console(self, auditor: Auditor | None = None, **options: Any) -> Console:
        """One replica's console."""
        classes = cast("SandboxClasses", Classes())
        rows = Rows(self.cache, classes, self.clock)
        service, explanations = cast("SandboxService", self.service), cast("Explanations", ScriptedExplanations())
        return Console(
            self.sessions,
            rows,
            service,
            explanations,
            self.cache,
            classes,
            cast("Histories", self.histories),
            Capacity(cast("Pools", self.pools), self.cache, LimitChecks(self.cache, lambda _: self.limits)),
            Permissions((), "default"),
            cast("Usage", self),
            cast("Logs", self),
            self.streams,
            auditor=auditor,
            **options,
        )

    async def read(self, sandbox: Sandbox, seen: View, query: LogQuery) -> AsyncGenerator[bytes]:
        """Like Logs.read: the lines that the test has written."""
        self.log_queries.append(query)
        yield b""
        yield self.log

    async def of(self, owner: str) -> tuple[datetime, Days]:
        """Like Usage.of."""
        return self.clock(), self.days.get(owner, {})


@asynccontextmanager
async def browser(app: ASGIApp, origin: str = ORIGIN) -> AsyncGenerator[httpx.AsyncClient]:
    """A browser that shows pages of this console."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(
        transport=transport, base_url=origin, headers={"X-Forwarded-For": "192.0.2.7"}
    ) as http:
        yield http


async def sign_in(http: httpx.AsyncClient, key: str = "key-of-alice", **fields: str) -> httpx.Response:
    """Send the form."""
    return await http.post("/console/sign-in", data={"key": key, **fields}, headers=FROM_A_PAGE)


def form_token(page: httpx.Response) -> str:
    """The token in the page's forms."""
    found = re.search(r'name="token" value="([^"]+)"', page.text)
    assert found, page.text
    return found[1]
