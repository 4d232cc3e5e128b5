"""An image is pulled, as the kubelet's Events say: what the Sandbox says meanwhile, and what that costs."""

from datetime import UTC, datetime, timedelta

import pytest

from control_plane.audit import Audit
from control_plane.operator.kubelet import NODE, Kubelet
from control_plane.operator.world import IMAGE, World
from sandbox_common.reasons import Reason
from sandbox_common.times import rfc3339
from sandbox_crds.models import Pull, Sandbox
from sandbox_operator.app import USER_AGENT

pytestmark = pytest.mark.asyncio(loop_scope="module")

CREATING = {"waiting": {"reason": "ContainerCreating"}}


async def until_pulling(world: World) -> tuple[Sandbox, Pull, str]:
    found = await world.until(Reason.STARTING, keep=lambda it: it.status.pull is not None)
    condition = found.status.condition("Ready")
    assert found.status.pull
    assert condition
    return found, found.status.pull, condition.message


async def test_a_pull_is_reported_with_its_size_and_a_prediction(world: World, kubelet: Kubelet, audit: Audit) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    pod = await world.pod(await world.add())
    name = pod["metadata"]["name"]
    # What the node has managed before, for a pod that is gone.
    gone = {"metadata": {"name": "gone", "uid": "gone"}}
    words = f'Successfully pulled image "{IMAGE}" in 50s (1m0s including waiting). Image size: 500000000 bytes.'
    await kubelet.say(gone, "Pulled", words, now - timedelta(minutes=5))
    await kubelet.bind(name)
    await kubelet.report(name, phase="Pending", state=CREATING)
    await kubelet.say(pod, "Pulling", f'Pulling image "{IMAGE}"', now)
    _, pull, message = await until_pulling(world)
    expected = Pull(image=IMAGE, node=NODE, start_time=rfc3339(now), size_bytes=500_000_000, expected_seconds=50)
    assert pull == expected
    assert message == (
        f"Node {NODE} has been pulling image {IMAGE} (at most 500 MB compressed) since {rfc3339(now)}. It is expected "
        "to take about 50 s. Then the agent server boots."
    )
    # Its end, and the boot, are worth no write of their own.
    words = f'Successfully pulled image "{IMAGE}" in 2s (2s including waiting). Image size: 500000000 bytes.'
    await kubelet.say(pod, "Pulled", words, now + timedelta(seconds=2))
    await kubelet.report(name)
    await kubelet.report(name, ready=True)
    ready = await world.until(Reason.READY)
    assert ready.status.pull is None
    writes = await audit.writes(world.client, world.namespace, USER_AGENT)
    assert sum(write.what == "patch sandboxes/status" and write.name == world.name for write in writes) == 2


async def test_a_pull_that_takes_longer_than_predicted_says_so(world: World, kubelet: Kubelet) -> None:
    pod = await world.pod(await world.add())
    began = datetime.now(UTC).replace(microsecond=0)
    gone = {"metadata": {"name": "quick", "uid": "quick"}}
    words = 'Successfully pulled image "slow:1" in 1s (1s including waiting). Image size: 1000000 bytes.'
    await kubelet.say(gone, "Pulled", words, began - timedelta(minutes=4))
    await kubelet.bind(pod["metadata"]["name"])
    await kubelet.say(pod, "Pulling", 'Pulling image "slow:1"', began)
    late = await world.until(Reason.STARTING, keep=lambda it: "takes longer" in it.status.conditions[0].message)
    assert late.status.pull
    assert late.status.pull.start_time == rfc3339(began)


async def test_a_pull_that_is_tried_again_is_no_failure(world: World, kubelet: Kubelet) -> None:
    """As long as it goes on, the kubelet still reports the failure before."""
    pod = await world.pod(await world.add())
    name = pod["metadata"]["name"]
    await kubelet.bind(name)
    first = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=5)
    await kubelet.say(pod, "Pulling", 'Pulling image "busy:1"', first)
    failure = {"waiting": {"reason": "ImagePullBackOff", "message": "429 Too Many Requests"}}
    await kubelet.report(name, phase="Pending", state=failure)
    await world.until(Reason.REGISTRY_RATE_LIMITED)
    # Times in Events and reports are whole seconds.
    again = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=2)
    await kubelet.say(pod, "Pulling", 'Pulling image "busy:1"', again)
    _, pull, _ = await until_pulling(world)
    assert pull.start_time == rfc3339(again)
