"""Nothing is held of a sandbox that is gone, but the id of its key."""

import pytest

from control_plane.gateway.support import Agent, Operator, Replica
from control_plane.waiting import eventually
from sandbox_common.kube import KubeClient
from sandbox_common.kube.resources import SANDBOXES
from sandbox_common.reasons import Reason
from unit.remains import remains


@pytest.mark.parametrize(("healthy", "deleted_by"), [(True, "stop"), (False, "kubectl")])
async def test_nothing_is_held_of_a_sandbox_that_is_gone(
    gateway: Replica,
    operator: Operator,
    client: KubeClient,
    namespace: str,
    agent: Agent,
    healthy: bool,
    deleted_by: str,
) -> None:
    agent.healthy = healthy
    started = await gateway.start("session", command=agent.command, environment={"A": "1"})
    name = started["runtime_id"]
    ready = await operator.report(Reason.READY)
    uid, pod_uid = ready["metadata"]["uid"], ready["status"]["podUID"]
    await gateway.session("session")
    gateway.gateway.activity.touch(name)
    assert gateway.gateway.directory.find_by_runtime_id(name)
    if deleted_by == "stop":
        await gateway.post("/pause", name)
    else:
        idle = {"spec": {"suspend": True, "suspendReason": "Idle"}}
        await gateway.catch_up(await client.patch(SANDBOXES, namespace, name, idle))
    await gateway.post("/resume", name)

    def held() -> list[str]:
        return remains(gateway.gateway, (name, uid, pod_uid))

    assert held()
    if deleted_by == "stop":
        await gateway.post("/stop", name)
    else:
        await client.delete(SANDBOXES, namespace, name)

    async def gone() -> bool:
        nonlocal left
        left = held()
        return not left

    left: list[str] = []
    try:
        await eventually(gone)
    except TimeoutError:
        pytest.fail("\n".join(left))
