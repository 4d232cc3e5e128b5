"""The release before this version and this version, side by side on one API server and one node."""

import asyncio
import re
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, cast

import httpx
from aiohttp import web

from control_plane.gateway.process import Process
from control_plane.gateway.support import API_KEY, add_api_key, answer
from control_plane.leading.crew import LEADER
from control_plane.operator.process import OperatorProcess
from control_plane.pools.basin import Basin
from control_plane.races.node import Node
from control_plane.waiting import eventually
from local_cluster.control_plane import ControlPlane
from sandbox_common.keys import MasterKeys
from sandbox_common.kube import KubeClient
from sandbox_common.kube.resources import SANDBOXES
from sandbox_common.reasons import Reason

_IMAGE = "agent:1"
_OF_ONE_POD = re.compile(r"(podUID|podIP|Time|[sS]ince|Generation|launch)$|message|detail|logs|remedy")
"""Fields whose values are another pod's after a resume, or are words for people."""


def differences(before: Any, after: Any, *, other_pod: bool = False, path: str = "") -> Iterator[str]:
    """Where `after` does not have what `before` has; what it has besides does no harm.

    `other_pod`: of what names a pod, and of words for people, only whether they are there is compared.
    """
    match before:
        case dict():
            there = cast("dict[str, Any]", after if isinstance(after, dict) else {})
            for name, value in cast("dict[str, Any]", before).items():
                yield from differences(value, there.get(name), other_pod=other_pod, path=f"{path}.{name}")
        case list():
            items, others = cast("list[Any]", before), cast("list[Any]", after or [])
            if len(items) != len(others):
                yield f"{path}: {before!r}, then {after!r}"
            for index, (value, other) in enumerate(zip(items, others, strict=False)):
                yield from differences(value, other, other_pod=other_pod, path=f"{path}[{index}]")
        case _:
            masked = other_pod and _OF_ONE_POD.search(path)
            if bool(before) != bool(after) if masked else before != after:
                yield f"{path}: {before!r}, then {after!r}"


@dataclass
class Version:
    """One version's gateway, and its operator if one runs. `environment` has its packages."""

    gateway: Process
    http: httpx.AsyncClient
    start: tuple[Path, str, Path, Path]
    environment: Mapping[str, str] | None
    operator: OperatorProcess | None = None

    @classmethod
    @asynccontextmanager
    async def of(
        cls, kubeconfig: Path, namespace: str, master_key_dir: Path, log: Path, environment: Mapping[str, str] | None
    ) -> AsyncGenerator[Self]:
        """With a gateway that may not be ready yet, and without an operator."""
        gateway = await Process.start(
            f"--kubeconfig={kubeconfig}",
            f"--namespace={namespace}",
            f"--master-key-dir={master_key_dir}",
            "--public-url=http://gateway.test",
            environment=environment,
        )
        async with httpx.AsyncClient(
            base_url=gateway.url, headers={"X-API-Key": API_KEY}, timeout=60, trust_env=False
        ) as http:
            version = cls(gateway, http, (kubeconfig, namespace, master_key_dir, log), environment)
            try:
                yield version
            finally:
                await gateway.kill()
                if version.operator:
                    await version.operator.kill()

    async def stand_by(self) -> OperatorProcess:
        """Start its operator, whose caches may not be filled yet."""
        self.operator = await OperatorProcess.start(*self.start, environment=self.environment)
        return self.operator

    async def lead(self, predecessor: "Version | None" = None) -> None:
        """Return once its operator leads, after the predecessor's has ended by SIGTERM."""
        operator = self.operator or await self.stand_by()
        await operator_is(operator, 200)
        if predecessor and predecessor.operator:
            assert await predecessor.operator.stop() == 0, predecessor.operator.log
            predecessor.operator = None

        async def leads() -> bool:
            return await operator.metric(LEADER) == 1

        await eventually(leads)

    async def ask(self, method: str, path: str, **body: Any) -> dict[str, Any]:
        """Call its Runtime API, which must succeed."""
        return answer(await self.http.request(method, path, json=body or None))


async def operator_is(operator: OperatorProcess, status: int) -> None:
    """Return once its /readyz has this status code."""

    async def look() -> bool:
        assert not operator.has_ended, operator.log
        return await operator.status("/readyz") == status

    await eventually(look)


class Town:
    """A namespace with a node, a pool, and the two versions."""

    def __init__(self, basin: Basin, node: Node, old: Version, new: Version) -> None:
        self.basin = basin
        self.old = old
        self.new = new
        self._node = node

    @classmethod
    @asynccontextmanager
    async def of(
        cls,
        control_plane: ControlPlane,
        client: KubeClient,
        namespace: str,
        master_key_dir: Path,
        directory: Path,
        environment: Mapping[str, str],
    ) -> AsyncGenerator[Self]:
        """With both gateways, and without operators. `environment` is that of the old version."""
        basin = Basin(client, namespace, "pool")
        await basin.add_class(workspace={"persistent": True, "size": "1Gi"})
        await add_api_key(client, namespace, API_KEY, "alice")
        common = (control_plane.kubeconfig, namespace, master_key_dir)
        async with AsyncExitStack() as stack:
            node = Node(client, namespace, MasterKeys.load(master_key_dir))
            node.routes.append(web.get("/reached", _reached))
            await stack.enter_async_context(node.running())
            old = await stack.enter_async_context(Version.of(*common, directory / "old.log", environment))
            new = await stack.enter_async_context(Version.of(*common, directory / "new.log", None))
            await asyncio.gather(old.gateway.until_ready(), new.gateway.until_ready())
            yield cls(basin, node, old, new)

    async def fill_pool(self) -> None:
        """Keep one warm pod from now on. It fits no session with an environment."""
        await self.basin.add_pool(image=_IMAGE, command=self._node.command.split(), replicas=1)

    async def start(self, version: Version, session: str, **fields: Any) -> dict[str, Any]:
        """Start a session by this version's gateway; how it looks when it is ready."""
        body = {"image": _IMAGE, "command": self._node.command, "session_id": session, **fields}
        await version.ask("POST", "/start", **body)
        return await self.look(session, Reason.READY)

    async def pause(self, version: Version, session: str) -> dict[str, Any]:
        """Pause it by this version's gateway; how it looks then."""
        await version.ask("POST", "/pause", runtime_id=(await version.ask("GET", f"/sessions/{session}"))["runtime_id"])
        return await self.look(session, Reason.SUSPENDED)

    async def resume(self, version: Version, session: str) -> dict[str, Any]:
        """Resume it by this version's gateway; how it looks then."""
        found = await version.ask("GET", f"/sessions/{session}")
        await version.ask("POST", "/resume", runtime_id=found["runtime_id"])
        return await self.look(session, Reason.READY)

    async def look(self, session: str, reason: Reason) -> dict[str, Any]:
        """The Sandbox and the old gateway's answer, once all say this reason. The new gateway must say the same."""

        async def told(version: Version) -> dict[str, Any]:
            async def look() -> dict[str, Any] | None:
                found = await version.ask("GET", f"/sessions/{session}")
                return found if found["reason"] == reason else None

            return await eventually(look)

        old, new = await asyncio.gather(told(self.old), told(self.new))
        sandbox = await self.basin.client.get(SANDBOXES, self.basin.namespace, old["runtime_id"])
        # A gateway may not have seen the last write yet, so its times can be those of before.
        unlike = [*differences(old, new, other_pod=True)]
        assert not unlike, unlike
        if reason is Reason.READY:
            for version in (self.old, self.new):
                visit = await version.http.get("/reached", headers={"X-Session-API-Key": old["session_api_key"]})
                assert visit.status_code == 200, visit.text
        return {
            "uid": sandbox["metadata"]["uid"],
            "spec": sandbox["spec"],
            "status": sandbox["status"],
            "answer": old,
        }


async def _reached(_: web.Request) -> web.Response:
    return web.Response()
