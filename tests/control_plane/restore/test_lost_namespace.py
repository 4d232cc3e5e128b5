"""`kubectl delete namespace` by accident while the chart's processes work there, and the way back by docs/backup.md."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from control_plane.audit import Audit
from control_plane.cluster_scope import NAMESPACES
from control_plane.gateway.process import Process
from control_plane.gateway.support import USER_AGENT as GATEWAY
from control_plane.gateway.support import answer, refusal
from control_plane.helm.release import NAME, Cluster
from control_plane.operator.process import OperatorProcess
from control_plane.operator.world import World
from control_plane.pools.basin import BAD_IMAGE, Basin, Node
from control_plane.restore.backups import KEPT, bound_claim, follow, message
from control_plane.waiting import eventually
from local_cluster.build import ensure, kubernetes_version
from local_cluster.control_plane import ControlPlane
from local_cluster.progress import Progress
from sandbox_common.reasons import PoolReason, Reason
from sandbox_operator.app import USER_AGENT as OPERATOR

SECONDS = 6
"""For which the namespace cannot end, because a node does not end its pods."""
MOST_PER_SECOND = 5
"""Writes that one process tries, or lines that it logs, for four objects. A loop without pauses has hundreds."""


@dataclass
class Processes:
    """Operator and gateway with the rights that the chart has given them in its namespace."""

    operator: OperatorProcess
    gateway: Process
    http: httpx.AsyncClient
    """Sends the chart's API key to the gateway."""

    def lines(self) -> tuple[int, int]:
        """How many lines operator and gateway have logged."""
        return len(self.operator.log.splitlines()), len(self.gateway.log.splitlines())

    async def end(self) -> None:
        """Ask them to end, as the kubelet does; both must."""
        self.gateway.terminate()
        assert await self.operator.stop() == 0
        assert (await self.gateway.ended())[0] == 0


@asynccontextmanager
async def installed(cluster: Cluster, directory: Path) -> AsyncGenerator[Processes]:
    """Install the chart, and run its processes by the service accounts that it has made."""
    ensure(["helm"], Progress())
    await asyncio.to_thread(cluster.install)
    keys, api_key = await asyncio.to_thread(cluster.keys)
    master = directory / "master"
    master.mkdir(parents=True)
    for name, value in {**keys, **cluster.entries(f"{NAME}-naming-key")}.items():
        (master / name).write_text(value)
    kubeconfigs = [_kubeconfig(cluster, directory, account) for account in ("operator", "gateway")]
    operator = await OperatorProcess.start(kubeconfigs[0], cluster.namespace, master, directory / "operator.log")
    gateway = await Process.start(
        f"--kubeconfig={kubeconfigs[1]}", f"--namespace={cluster.namespace}", f"--master-key-dir={master}"
    )
    try:
        await gateway.until_ready()
        async with httpx.AsyncClient(
            base_url=gateway.url, headers={"X-API-Key": api_key}, trust_env=False, timeout=30
        ) as http:
            yield Processes(operator, gateway, http)
    finally:
        await operator.kill()
        await gateway.kill()


def _kubeconfig(cluster: Cluster, directory: Path, part: str) -> Path:
    token = cluster.run("kubectl", "create", "token", f"{NAME}-{part}")
    config: dict[str, Any] = yaml.safe_load(cluster.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": token.strip()}
    path = directory / f"{part}.kubeconfig"
    path.write_text(json.dumps(config))
    return path


async def volumes(world: World, *names: str) -> dict[str, tuple[str, str]]:
    """The volume claims of these sandboxes, and the volumes that are bound to them."""
    found: dict[str, tuple[str, str]] = {}
    for name in names:
        claim = (await world.sandbox(name)).status.volume_claim
        found[name] = claim, (await bound_claim(world, claim))["spec"]["volumeName"]
    return found


async def test_a_namespace_that_is_deleted_by_accident_ends_and_is_rebuilt_by_the_page(
    control_plane: ControlPlane, basin: Basin, audit: Audit, tmp_path: Path
) -> None:
    client, namespace, node = basin.client, basin.namespace, Node(basin.client, basin.namespace)
    cluster = Cluster(control_plane.kubeconfig, namespace)
    async with installed(cluster, tmp_path / "before") as processes:
        async with node.running_all():
            await basin.add_pool(replicas=1, className=KEPT)
            await basin.told(PoolReason.FILLED)
            for name, image in {"runs": "agent:1", "sleeps": "agent:1", "pulls": BAD_IMAGE}.items():
                await basin.add(name, className=KEPT, image=image, warmStart="Never")
            for name in ("runs", "sleeps"):
                await basin.until(Reason.READY, name)
            await basin.suspend(True, "sleeps")
            await basin.until(Reason.SUSPENDED, "sleeps")
            pulls = await basin.until(Reason.IMAGE_PULL_BACK_OFF, "pulls")
        before = await volumes(basin, "runs", "sleeps")
        await follow("Export", control_plane, namespace, tmp_path)
        await client.delete(NAMESPACES, "", namespace)

        async def all_end() -> bool:
            pods = await node.pods()
            return all("deletionTimestamp" in pod["metadata"] for pod in pods)

        await eventually(all_end)
        await node.end(pulls.status.pod_name)
        if kubernetes_version() >= (1, 33):
            # As long as one pod does not end, nothing else is deleted, such as the processes' own service accounts. One
            # that has ended cannot be replaced.
            waits = await basin.until(Reason.PENDING, "pulls")
            why = f"unable to create new content in namespace {namespace} because it is being terminated"
            assert why in message(waits)
            said = await processes.http.post("/start", json={"image": "agent:1", "session_id": "new"})
            assert "is being deleted" in refusal(said, 503)
            assert said.headers["retry-after"] == "30"
            written, logged = len(await audit.writes(client, namespace)), processes.lines()
            await asyncio.sleep(SECONDS)
            tried = (await audit.writes(client, namespace))[written:]
            for process in (OPERATOR, GATEWAY):
                mine = [write for write in tried if write.user_agent.startswith(process)]
                assert len(mine) < SECONDS * MOST_PER_SECOND
            for lines, earlier in zip(processes.lines(), logged, strict=True):
                assert lines - earlier < SECONDS * MOST_PER_SECOND

        async def is_gone() -> bool:
            return await client.find(NAMESPACES, "", namespace) is None

        async with node.running_all():
            await eventually(is_gone)
        await processes.end()
        for log in (processes.operator.log, processes.gateway.log):
            assert '"level": "error"' not in log
            assert "Traceback" not in log
    await follow("Restore", control_plane, namespace, tmp_path)
    async with installed(cluster, tmp_path / "after") as processes, node.running_all():
        await basin.until(Reason.READY, "runs")
        await basin.until(Reason.SUSPENDED, "sleeps")
        await basin.until(Reason.IMAGE_PULL_BACK_OFF, "pulls")
        await basin.told(PoolReason.FILLED)
        await basin.suspend(False, "sleeps")
        await basin.until(Reason.READY, "sleeps")
        assert await volumes(basin, "runs", "sleeps") == before
        # The API key is the one of before, and the service takes new sessions.
        started = answer(await processes.http.post("/start", json={"image": "agent:1", "session_id": "new"}))
        await basin.until(Reason.READY, started["runtime_id"])
