"""What people with kubectl can write into one object, and the others."""

import pytest

from control_plane.operator.agents import Agent
from control_plane.operator.kubelet import Kubelet
from control_plane.operator.world import World
from sandbox_common.kube.resources import PODS, SANDBOXES
from sandbox_common.reasons import Reason

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_grace_period_without_end_harms_only_its_pod(world: World, kubelet: Kubelet, agent: Agent) -> None:
    """The town's operator must not log an error either."""
    absurd = await world.add(command=agent.command)
    name = (await world.pod(absurd))["metadata"]["name"]
    await agent.run(kubelet, name)
    await world.until(Reason.READY)
    await world.client.delete(PODS, world.namespace, name, grace_seconds=99999999999)
    deleted = await world.client.get(PODS, world.namespace, name)
    assert deleted["metadata"]["deletionGracePeriodSeconds"] == 99999999999

    other = f"{world.name}-b"
    beside = await world.add(other, command=agent.command)
    await agent.run(kubelet, (await world.pod(beside))["metadata"]["name"])
    await world.until(Reason.READY, other)
    await world.delete(other)
    # It is known to end, and followed by another pod.
    await kubelet.end(name)
    uid = deleted["metadata"]["uid"]
    following = await world.pod(absurd, keep=lambda pod: pod["metadata"]["uid"] != uid)
    await agent.run(kubelet, following["metadata"]["name"])
    await world.until(Reason.READY)


async def test_a_restart_at_the_end_of_time_harms_only_itself(world: World, kubelet: Kubelet, agent: Agent) -> None:
    await world.add(command=agent.command, restartedAt="9999-12-31T23:59:59Z")
    absurd = {
        "conditions": [
            {
                "type": "Ready",
                "status": "False",
                "reason": "Queued",
                "message": "",
                "lastTransitionTime": "99999-01-01T00:00:00Z",
            }
        ],
        "startingSince": "0001-01-01T00:00:00Z",
        "firstReadyTime": "99999-01-01T00:00:00Z",
    }
    await world.client.patch(SANDBOXES, world.namespace, world.name, {"status": absurd}, subresource="status")
    other = f"{world.name}-b"
    beside = await world.add(other, command=agent.command)
    await agent.run(kubelet, (await world.pod(beside))["metadata"]["name"])
    await world.until(Reason.READY, other)
    await world.delete(other)
