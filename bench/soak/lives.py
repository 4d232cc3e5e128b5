"""Sandboxes of all kinds, each from its start to its end."""

import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any

from bench.plane import OWNER, Plane
from bench.soak.course import Course
from bench.soak.gateways import AnsweredError, Gateways
from bench.soak.patience import persist
from sandbox_common.kube import FAILURES, ApiError, KubeObject
from sandbox_common.kube.resources import PODS, SANDBOXES

KEPT = "kept"
"""The class with volumes."""
IMAGE = "registry.example/agent-server:1"
_IDLE_SECONDS = 45
_LIFE_SECONDS = 30


async def apply(here: Plane, name: str, command: list[str], **spec: Any) -> None:
    """Make a Sandbox as kubectl does, of the class with volumes. It may exist already."""
    body: KubeObject = {
        "apiVersion": SANDBOXES.api_version,
        "kind": SANDBOXES.kind,
        "metadata": {"name": name},
        "spec": {"image": IMAGE, "command": command, "className": KEPT, **spec},
    }
    body["spec"] |= {"owner": OWNER, "sessionID": name}

    async def make() -> bool:
        try:
            await here.client.create(SANDBOXES, here.namespace, body)
        except ApiError as error:
            return error.reason == "AlreadyExists"
        return True

    await persist(make)


class Lives:
    """Every life notes in `course` how it went; `began` is the moment from which it counts seconds."""

    def __init__(self, here: Plane, gateways: Gateways, course: Course, began: float) -> None:
        self._here = here
        self._gateways = gateways
        self._course = course
        self._began = began
        self.kinds: dict[str, Callable[[str], Awaitable[None]]] = {
            "cold": self._cold,
            "warm": self._warm,
            "paused": self._paused,
            "idle": self._idle,
            "expiring": self._expiring,
            "lost": self._lost,
        }

    async def live(self, kind: str, number: int) -> None:
        """One life of this kind; what goes wrong is noted."""
        try:
            await self.kinds[kind](f"{kind}-{number}")
        except (AnsweredError, TimeoutError, AssertionError, *FAILURES) as error:
            self._course.fail(f"{kind}-{number}: {error!r}")
        else:
            self._course.lives[kind] += 1

    async def _cold(self, session_id: str) -> None:
        runtime = await self._start(session_id, environment={"TOKEN": secrets.token_hex(8)})
        await self._gateways.visit(runtime)
        await self._gateways.stop(runtime["runtime_id"])

    async def _warm(self, session_id: str) -> None:
        runtime = await self._start(session_id)
        await self._gateways.visit(runtime)
        await self._gateways.stop(runtime["runtime_id"])

    async def _paused(self, name: str) -> None:
        runtime = await self._apply(name)
        for action in ("pause", "resume"):
            await self._gateways.ask("POST", f"/{action}", runtime_id=name)
        again = await self._gateways.until_ready(name)
        assert again["session_api_key"] == runtime["session_api_key"], "another key"
        await self._gateways.visit(again)
        await self._gateways.stop(name)

    async def _idle(self, name: str) -> None:
        runtime = await self._apply(name, idleTimeoutSeconds=_IDLE_SECONDS)

        async def is_asleep() -> bool:
            spec = (await self._sandbox(name))["spec"]
            return spec["suspend"] and spec["suspendReason"] == "Idle"

        await persist(is_asleep)
        await self._gateways.visit(runtime)
        await self._gateways.stop(runtime["runtime_id"])

    async def _expiring(self, name: str) -> None:
        await apply(self._here, name, self._here.agents.command, maximumLifeSeconds=_LIFE_SECONDS)

        async def is_gone() -> bool:
            return await self._here.client.find(SANDBOXES, self._here.namespace, name) is None

        await persist(is_gone)

    async def _lost(self, name: str) -> None:
        runtime = await self._apply(name)
        await self._gateways.visit(runtime)
        status = (await persist(lambda: self._sandbox(name)))["status"]

        async def is_deleted() -> bool:
            await self._here.client.delete(PODS, self._here.namespace, status["podName"], uid=status["podUID"])
            return True

        async def is_another() -> bool:
            return (await self._sandbox(name))["status"].get("podUID", "") not in {"", status["podUID"]}

        await persist(is_deleted)
        await persist(is_another)
        await self._gateways.visit(await self._gateways.until_ready(name))
        await self._gateways.stop(runtime["runtime_id"])

    async def _start(self, session_id: str, **more: Any) -> KubeObject:
        began = time.monotonic()
        body: dict[str, Any] = {"image": IMAGE, "command": self._here.agents.command, "session_id": session_id, **more}
        started = await self._gateways.ask("POST", "/start", **body)
        runtime = await self._gateways.until_ready(started["runtime_id"])
        self._course.starts.append((began - self._began, time.monotonic() - began))
        return runtime

    async def _apply(self, name: str, **spec: Any) -> KubeObject:
        await apply(self._here, name, self._here.agents.command, **spec)
        return await self._gateways.until_ready(name)

    async def _sandbox(self, name: str) -> KubeObject:
        return await self._here.client.get(SANDBOXES, self._here.namespace, name)
