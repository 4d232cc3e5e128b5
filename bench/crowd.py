"""Many sandboxes: made as the gateway makes them, and followed until they are ready."""

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Self

from bench.plane import Plane
from control_plane.naming import runtime_id
from sandbox_common.kube import Informer, KubeObject
from sandbox_common.kube.resources import PODS, SANDBOXES
from sandbox_gateway.contract.requests import StartRequest
from sandbox_gateway.sandboxes.builders import sandbox_body

OWNERS = 10
_SIDE_BY_SIDE = 16
_STARTING = 64


@dataclass(frozen=True, slots=True)
class State:
    """What matters of a Sandbox here."""

    ready: bool
    pod_name: str
    pod_uid: str


def _state(item: KubeObject) -> State:
    status: dict[str, Any] = item.get("status") or {}
    conditions: list[dict[str, str]] = status.get("conditions") or []
    ready = any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)
    return State(ready, status.get("podName", ""), status.get("podUID", ""))


class Crowd:
    """All Sandboxes of a plane."""

    def __init__(self, plane: Plane) -> None:
        self._plane = plane
        self._informer = Informer(plane.client, SANDBOXES, plane.namespace, _state, on_change=self._changed)
        self._known: dict[str, State] = {}
        self._ready: set[str] = set()
        self._progress = asyncio.Event()
        self._made = 0

    @classmethod
    @asynccontextmanager
    async def of(cls, plane: Plane) -> AsyncGenerator[Self]:
        """Follow the Sandboxes of this plane meanwhile."""
        crowd = cls(plane)
        following = asyncio.create_task(crowd._informer.run())
        try:
            yield crowd
        finally:
            following.cancel()
            with suppress(asyncio.CancelledError):
                await following

    def __len__(self) -> int:
        return len(self._known)

    @property
    def ready(self) -> int:
        """How many are ready."""
        return len(self._ready)

    async def grow(self, size: int) -> None:
        """Make more, up to this many in all, and return when all are ready; some dozens start at a time."""

        async def make(number: int) -> None:
            await self.until(lambda: len(self) - self.ready < _STARTING)
            await self._make(number)

        await side_by_side(make, range(self._made, size))
        await self.until(lambda: self.ready >= size)

    async def add(self) -> KubeObject:
        """Make one more; it may not be ready yet."""
        return await self._make(self._made)

    async def replace_pods(self, count: int) -> float:
        """Delete the pods of so many sandboxes at once; seconds until all of these are ready in new ones."""
        lost = dict(sorted(self._known.items())[:count])
        began = time.monotonic()

        async def delete(state: State) -> None:
            await self._plane.client.delete(PODS, self._plane.namespace, state.pod_name, uid=state.pod_uid)

        await side_by_side(delete, lost.values())
        await self.until(lambda: all(self._is_new(name, state) for name, state in lost.items()))
        return time.monotonic() - began

    def _is_new(self, name: str, lost: State) -> bool:
        now = self._known[name]
        return now.ready and now.pod_uid != lost.pod_uid

    async def until(self, reached: Callable[[], bool]) -> None:
        """Return as soon as this is so. Raises TimeoutError when nothing has changed for half a minute."""
        while not reached():
            async with asyncio.timeout(30):
                await self._progress.wait()
            await asyncio.sleep(0.02)

    async def _make(self, number: int) -> KubeObject:
        self._made = max(self._made, number + 1)
        session_id, owner = str(uuid.UUID(int=number)), f"owner-{number % OWNERS}"
        request = StartRequest.model_validate(
            {
                "image": "registry.example/openhands/agent-server:1.58.2-python",
                "command": self._plane.agents.command,
                "working_dir": "/workspace/project",
                "environment": {},
                "session_id": session_id,
            }
        )
        body = sandbox_body(runtime_id(owner, session_id), owner, request, environment_hash="", class_name="default")
        return await self._plane.client.create(SANDBOXES, self._plane.namespace, body)

    def _changed(self, name: str, state: State | None) -> None:
        if state is None:
            self._known.pop(name, None)
        else:
            self._known[name] = state
        if state and state.ready:
            self._ready.add(name)
        else:
            self._ready.discard(name)
        self._progress.set()
        self._progress = asyncio.Event()


async def side_by_side[T](
    do: Callable[[T], Awaitable[Any]], items: Iterable[T] | Collection[T], *, at_once: int = _SIDE_BY_SIDE
) -> None:
    """Do this for all items, a few at a time."""
    left = iter(items)

    async def work() -> None:
        for item in left:
            await do(item)

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(work())
