"""`kubectl ohsb pools` and `top` on the real API server."""

from control_plane.gateway.support import Operator
from control_plane.kubectl_ohsb.support import Shell, add_sandbox
from sandbox_common.kube import KubeClient
from sandbox_common.kube.resources import SANDBOX_POOLS
from sandbox_common.reasons import Reason


async def test_pools_have_hits_and_misses(shell: Shell, operator: Operator, client: KubeClient, namespace: str) -> None:
    assert "There is no SandboxPool" in (await shell.ohsb("pools")).err
    kind = {"apiVersion": SANDBOX_POOLS.api_version, "kind": SANDBOX_POOLS.kind}
    pool = {**kind, "metadata": {"name": "py"}, "spec": {"image": "agent:1", "replicas": 2}}
    await client.create(SANDBOX_POOLS, namespace, pool)
    status = {"status": {"desiredReplicas": 2, "replicas": 2, "readyReplicas": 1, "claimedPods": 1}}
    await client.patch(SANDBOX_POOLS, namespace, "py", status, subresource="status")
    await add_sandbox(client, namespace, "sb-a")
    await operator.report(Reason.READY, name="sb-a", launch="Warm", pool="py")
    await add_sandbox(client, namespace, "sb-b")
    await operator.report(Reason.READY, name="sb-b", launch="Cold", poolMiss="A: b")
    found = (await shell.ohsb("pools", "-o", "json")).json
    [item] = found["items"]
    assert (item["wanted"], item["ready"], item["claimed"], item["hits"]) == (2, 1, 1, 1)
    assert found["misses"] == [{"reason": "A", "count": 1, "examples": ["b"]}]
    assert (await shell.ohsb("pools")).out.splitlines()[1].split()[:5] == ["py", "2", "2", "1", "0"]


async def test_a_cluster_without_metrics_is_named_with_the_remedy(shell: Shell) -> None:
    refused = await shell.ohsb("top")
    assert (refused.code, refused.out) == (1, "")
    assert "install metrics-server" in refused.err
