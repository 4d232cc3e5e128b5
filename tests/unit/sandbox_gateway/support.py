"""Sandboxes, keys and a Runtime API for tests without a cluster."""

import functools
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, cast

import httpx
from fastapi import FastAPI

from sandbox_common.api_keys import ApiKey, Limits, Policy
from sandbox_common.keys import MasterKeys
from sandbox_common.kube import KubeClient, KubeObject
from sandbox_common.reasons import Reason
from sandbox_common.sandboxes.explain import Explanation, Surroundings, explain
from sandbox_common.sandboxes.view import View
from sandbox_common.spans import OpenSpan
from sandbox_common.usage import Days
from sandbox_crds.models import Sandbox, SandboxClassSpec, SandboxPool
from sandbox_crds.names import unkeyed_runtime_id
from sandbox_gateway.contract.addresses import Addresses
from sandbox_gateway.contract.requests import StartRequest
from sandbox_gateway.contract.responses import HistoryResponse, WarmRuntimeConfig
from sandbox_gateway.registry.images import Images
from sandbox_gateway.runtime_api.answers import Answers
from sandbox_gateway.runtime_api.app import create_app
from sandbox_gateway.runtime_api.explanations import Explanations
from sandbox_gateway.runtime_api.histories import Histories
from sandbox_gateway.runtime_api.streams import Streams
from sandbox_gateway.sandboxes.api import Reach
from sandbox_gateway.sandboxes.api_keys import ApiKeys
from sandbox_gateway.sandboxes.cache import SandboxCache
from sandbox_gateway.sandboxes.capacity import Capacity
from sandbox_gateway.sandboxes.classes import SandboxClasses
from sandbox_gateway.sandboxes.feed import Feed
from sandbox_gateway.sandboxes.limit_checks import LimitChecks
from sandbox_gateway.sandboxes.logs import Logs
from sandbox_gateway.sandboxes.permissions import Permissions
from sandbox_gateway.sandboxes.pools import Pools, config
from sandbox_gateway.sandboxes.pull_secrets import PullSecrets
from sandbox_gateway.sandboxes.service import SandboxService
from sandbox_gateway.sandboxes.usage import Usage

KEYS = MasterKeys.of({1: b"k" * 32})
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def sandbox_object(
    name: str = "sb-a", *, version: int = 1, uid: str = "uid-1", deleting: bool = False, **fields: Any
) -> KubeObject:
    """A Sandbox as the API server stores it; `fields` are spec and status."""
    metadata: dict[str, Any] = {
        "name": name,
        "uid": uid,
        "resourceVersion": str(version),
        "generation": 1,
        "creationTimestamp": "2026-01-02T03:04:00Z",
    }
    if deleting:
        metadata["deletionTimestamp"] = "2026-01-02T03:04:04Z"
    return {
        "metadata": metadata,
        "spec": {"image": "agent:1", "owner": "alice", "sessionID": "s", **fields.get("spec", {})},
        "status": fields.get("status", {}),
    }


def status(reason: Reason | str, message: str = "", *, since: datetime = NOW, **fields: Any) -> dict[str, Any]:
    """A status with the condition Ready, as the operator writes it."""
    condition = {
        "type": "Ready",
        "status": "True" if reason == Reason.READY else "False",
        "reason": str(reason),
        "message": message,
        "lastTransitionTime": since.isoformat().replace("+00:00", "Z"),
    }
    return {
        "observedGeneration": 1,
        "conditions": [condition],
        "podName": "pod",
        "podUID": "p1",
        "podIP": "127.0.0.1",
        "keyID": KEYS.key_id("uid-1"),
        **fields,
    }


def sandbox(**fields: Any) -> Sandbox:
    """As `sandbox_object`, decoded."""
    return Sandbox.model_validate(sandbox_object(**fields))


def unconnected_cache(keys: MasterKeys = KEYS) -> SandboxCache:
    """A cache whose informer does not run."""
    return SandboxCache(cast("KubeClient", None), "test", keys)


class FixedApiKeys:
    """Keys without an informer."""

    policy = Policy()

    def find(self, api_key: str) -> ApiKey | None:
        """`good` is alice's."""
        return ApiKey("alice-1", "alice", (), self.policy) if api_key == "good" else None


class Classes:
    """Classes by name; one that is not among them is as the API server makes an empty one."""

    def __init__(self, **specs: dict[str, Any]) -> None:
        self._specs = {name: SandboxClassSpec.model_validate(spec) for name, spec in specs.items()}

    def spec(self, name: str) -> SandboxClassSpec:
        """Like SandboxClasses.spec."""
        return self._specs.get(name, SandboxClassSpec())


class FixedPools:
    """One pool, without an informer."""

    async def configs(self, class_name: str) -> list[WarmRuntimeConfig]:
        """Like Pools.configs."""
        assert class_name == "default"
        return [config(SandboxPool.model_validate({"metadata": {"name": "a-pool"}, "spec": {"image": "agent:1"}}))]

    async def of_classes(self, classes: Collection[str] | None) -> list[SandboxPool]:
        """Like Pools.of_classes."""
        assert classes in (None, ("default",))
        return [SandboxPool.model_validate({"metadata": {"name": "a-pool"}, "spec": {"image": "agent:1"}})]


class ScriptedService:
    """Stands in for the service: remembers what it was asked, and gives or raises what it is told."""

    def __init__(self) -> None:
        self.started: list[StartRequest] = []
        self.spans: list[OpenSpan | None] = []
        """Those of starts and resumes."""
        self.asked: list[str] = []
        self.reached: list[Reach] = []
        """Whose sandboxes each call reached."""
        self.error: Exception | None = None
        self.found = sandbox(status=status(Reason.READY))
        self.view = View("running", "ready", Reason.READY, "")
        self.ignored: Sequence[str] = ()

    async def start(
        self, key: ApiKey, request: StartRequest, span: OpenSpan | None
    ) -> tuple[tuple[Sandbox, View], Sequence[str]]:
        """Like SandboxService.start."""
        self.started.append(request)
        self.spans.append(span)
        return self._tell(key.owner), self.ignored

    async def get(self, owner: Reach, name: str, span: OpenSpan | None = None) -> tuple[Sandbox, View]:
        """Like SandboxService.get, .get_session, .look, .pause and .resume."""
        self.asked.append(name)
        if span:
            self.spans.append(span)
        return self._tell(owner)

    get_session = look = pause = resume = get

    def runtime_id(self, owner: str, session_id: str) -> str:
        """Like SandboxService.runtime_id, for a session without a sandbox."""
        return unkeyed_runtime_id(owner, session_id)

    async def list_live(self, owner: Reach) -> list[tuple[Sandbox, View]]:
        """Like SandboxService.list_live: the one sandbox."""
        return [self._tell(owner)]

    async def get_batch(self, owner: str, session_ids: list[str]) -> list[tuple[Sandbox, View] | None]:
        """Like SandboxService.get_batch: the one sandbox for each session."""
        self.asked += session_ids
        return [self._tell(owner) for _ in session_ids]

    async def stop(self, owner: Reach, runtime_id: str) -> Sandbox:
        """Like SandboxService.stop."""
        self.asked.append(runtime_id)
        return self._tell(owner)[0]

    def _tell(self, owner: Reach) -> tuple[Sandbox, View]:
        self.reached.append(owner)
        if self.error is not None:
            raise self.error
        return self.found, self.view


class NoUsage:
    """Nobody has used anything."""

    async def of(self, owner: str) -> tuple[datetime, Days]:
        """Like Usage.of."""
        assert owner == "alice"
        return NOW, {}


class ScriptedExplanations:
    """Explains sandboxes to which no Event has happened."""

    async def of(self, sandbox: Sandbox, seen: View) -> Explanation:
        """Like Explanations.of."""
        return explain(sandbox, seen, Surroundings())


class ScriptedHistories:
    """Sandboxes of which only the beginning is known."""

    async def of(self, sandbox: Sandbox) -> HistoryResponse:
        """Like Histories.of."""
        return HistoryResponse(runtime_id=sandbox.metadata.name, steps=[], incomplete="")


def scripted_app(
    service: ScriptedService,
    addresses: Addresses | None = None,
    keys: MasterKeys = KEYS,
    *,
    usage: Usage | None = None,
    feed: Feed | None = None,
    logs: Logs | None = None,
    streams: Streams | None = None,
    **options: Any,
) -> FastAPI:
    """The real application over a scripted service."""
    cache = unconnected_cache(keys)
    answers = Answers(keys, cache, cast("SandboxClasses", Classes()), addresses or Addresses())
    return create_app(
        cast("SandboxService", service),
        answers,
        cast("Explanations", ScriptedExplanations()),
        cast("Histories", ScriptedHistories()),
        Capacity(cast("Pools", FixedPools()), cache, LimitChecks(cache, lambda _: Limits(running=5))),
        logs or cast("Logs", None),
        cast("Pools", FixedPools()),
        Images(()),
        cast("PullSecrets", None),
        cast("ApiKeys", FixedApiKeys()),
        Permissions((), "default"),
        usage or cast("Usage", NoUsage()),
        feed or cast("Feed", None),
        streams or Streams(),
        registry_prefix="registry.test/images",
        **options,
    )


class _Borrowed:
    """The service of the test that uses the application now."""

    service: ScriptedService | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.service, name)


@functools.cache
def _usual_app() -> tuple[_Borrowed, FastAPI]:
    """To make its routes takes longer than most tests."""
    borrowed = _Borrowed()
    return borrowed, scripted_app(cast("ScriptedService", borrowed))


@asynccontextmanager
async def runtime_api(
    service: ScriptedService, addresses: Addresses | None = None, keys: MasterKeys = KEYS, **options: Any
) -> AsyncGenerator[httpx.AsyncClient]:
    """A client of that application."""
    borrowed, usual = _usual_app()
    if borrowed.service or addresses or options or keys is not KEYS:
        async with _client(scripted_app(service, addresses, keys, **options)) as http:
            yield http
        return
    borrowed.service, usual.middleware_stack = service, None  # what it counts is in the middleware
    try:
        async with _client(usual) as http:
            yield http
    finally:
        borrowed.service = None


@asynccontextmanager
async def _client(app: FastAPI) -> AsyncGenerator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://gateway.test", headers={"X-API-Key": "good"}
    ) as http:
        yield http


def refusal(response: httpx.Response, code: int) -> str:
    """The `detail` of a refusal, which must be a string in a JSON object."""
    assert response.status_code == code, response.text
    assert response.headers["content-type"] == "application/json"
    detail = response.json()["detail"]
    assert isinstance(detail, str)
    return detail
