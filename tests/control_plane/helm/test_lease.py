"""The operator's Lease when a release goes and comes back, with the rights that the chart gives, by Helm 4."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml

from control_plane.helm.release import NAME, Cluster
from control_plane.waiting import PATIENCE
from sandbox_common.kube import KubeClient
from sandbox_operator.leader.election import Timing
from sandbox_operator.leader.elector import Elector

ACCOUNT = f"{NAME}-operator"
NEVER = Timing(duration=600, renew=100, deadline=300)
"""A lease whose end no test awaits."""


@asynccontextmanager
async def leading(cluster: Cluster, directory: Path, identity: str) -> AsyncGenerator[None]:
    """Meanwhile this candidate leads, by the service account that the release has now; then it gives the Lease back."""
    token = await asyncio.to_thread(cluster.run, "kubectl", "create", "token", ACCOUNT)
    config: dict[str, Any] = yaml.safe_load(cluster.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": token.strip()}
    kubeconfig = directory / "kubeconfig"
    kubeconfig.write_text(json.dumps(config))
    client = await KubeClient.connect(str(kubeconfig))
    begun = asyncio.Event()

    async def work(_: KubeClient) -> None:
        begun.set()
        await asyncio.get_running_loop().create_future()

    running = asyncio.create_task(Elector(client, cluster.namespace, ACCOUNT, NEVER, identity).run(work))
    try:
        await asyncio.wait_for(begun.wait(), PATIENCE)
        yield
    finally:
        running.cancel()
        await asyncio.wait([running])
        await client.close()


async def test_a_new_release_leads_at_once_though_the_old_one_could_not_give_its_lease_back(
    cluster: Cluster, tmp_path: Path
) -> None:
    def holder() -> str:
        return cluster.run("kubectl", "get", "lease", ACCOUNT, "--output", "jsonpath={.spec.holderIdentity}")

    await asyncio.to_thread(cluster.install)
    async with leading(cluster, tmp_path, "old"):
        await asyncio.to_thread(cluster.run, "helm", "uninstall", NAME)
    assert await asyncio.to_thread(holder) == "old"
    await asyncio.to_thread(cluster.install)
    async with leading(cluster, tmp_path, "new"):
        assert await asyncio.to_thread(holder) == "new"
    assert not await asyncio.to_thread(holder)
