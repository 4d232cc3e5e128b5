"""What waking and routing need of a gateway, over a cache that the test fills and an API server that it scripts."""

import asyncio
from typing import Any, cast

from sandbox_common.kube import ApiError, KubeClient, KubeObject
from sandbox_common.spans import Tracing
from sandbox_gateway.routing.lookup import CacheDirectory
from sandbox_gateway.routing.wake import Wakes
from sandbox_gateway.sandboxes.api import Sandboxes
from sandbox_gateway.sandboxes.api_keys import ApiKeys
from sandbox_gateway.sandboxes.classes import SandboxClasses
from sandbox_gateway.sandboxes.health import HealthChecks
from sandbox_gateway.sandboxes.held_calls import HeldCalls
from sandbox_gateway.sandboxes.starts import Starts
from unit.sandbox_gateway.support import KEYS, Classes, FixedApiKeys, sandbox_object, unconnected_cache

IDLE = {"suspend": True, "suspendReason": "Idle"}


class Stored:
    """An API server with one Sandbox, None when it is gone. It fails with each of `failures` first."""

    def __init__(self) -> None:
        self.sandbox: KubeObject | None = None
        self.failures: list[Exception] = []
        self.patches: list[KubeObject] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def patch(self, _resource: object, _namespace: str, name: str, body: KubeObject) -> KubeObject:
        """Merge metadata and spec, if the resource version is the present one."""
        self.patches.append(body)
        found = await self.get(_resource, _namespace, name)
        if body["metadata"]["resourceVersion"] != found["metadata"]["resourceVersion"]:
            raise ApiError(409, "Conflict", "the object has been modified")
        version = str(int(found["metadata"]["resourceVersion"]) + 1)
        metadata = {**found["metadata"], "resourceVersion": version, "generation": found["metadata"]["generation"] + 1}
        self.sandbox = {**found, "metadata": metadata, "spec": {**found["spec"], **body["spec"]}}
        return self.sandbox

    async def get(self, _resource: object, _namespace: str, _name: str) -> KubeObject:
        """The present object."""
        await self.gate.wait()
        if self.failures:
            raise self.failures.pop(0)
        if self.sandbox is None:
            raise ApiError(404, "NotFound", "gone")
        return self.sandbox

    find = KubeClient.find


class ReachedHealth:
    """Health checks whose answer is always yes."""

    def reached(self, _: object) -> bool:
        """Like HealthChecks.reached."""
        return True


class Plane:
    """The parts of a replica that wake and route. `hold_seconds` bounds a wake."""

    def __init__(self, *, hold_seconds: float = 50, tracing: Tracing | None = None) -> None:
        self._version = 0
        self.stored = Stored()
        self.cache = unconnected_cache()
        sandboxes = Sandboxes(cast("KubeClient", self.stored), "test", self.cache)
        specs: dict[str, dict[str, Any]] = {
            "wakeful": {"wakeOnWebSocket": True},
            "closed": {"servicePorts": {"work-1": 0, "work-2": 3000}},
        }
        classes = cast("SandboxClasses", Classes(**specs))
        self.held_calls = HeldCalls(self.cache, cast("HealthChecks", ReachedHealth()), classes)
        starts = Starts(self.cache, classes)
        self.wakes = Wakes(sandboxes, self.held_calls, starts, hold_seconds=hold_seconds, tracing=tracing)
        self.directory = CacheDirectory(KEYS, self.cache, classes, self.wakes, cast("ApiKeys", FixedApiKeys()))

    def see(self, *, generation: int = 1, cached: bool = True, **fields: Any) -> KubeObject:
        """The Sandbox changes; unless it is `cached`, this replica's watch has not told so yet."""
        self._version += 10
        item = sandbox_object(version=self._version, **fields)
        item["metadata"]["generation"] = generation
        self.stored.sandbox = item
        if cached:
            self.cache.remember(item)
        return item
