"""The size of an image that no kubelet has reported: the operator asks the gateway, and the gateway the registry."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from control_plane.gateway.process import serving
from control_plane.operator.kubelet import Kubelet
from control_plane.operator.process import OperatorProcess
from control_plane.operator.world import World
from local_cluster.control_plane import ControlPlane
from sandbox_common.kube import KubeClient
from sandbox_common.reasons import Reason
from sandbox_operator.reporting.conditions import READY
from unit.sandbox_gateway.registry.server import Registry, running_registry


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[Registry]:
    async with running_registry(tmp_path) as running:
        running.push("a/b", "1")
        yield running


async def test_the_size_of_an_image_that_nobody_has_pulled(
    control_plane: ControlPlane,
    client: KubeClient,
    namespace: str,
    master_key_dir: Path,
    registry: Registry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(registry.authority))
    world, kubelet = World(client, namespace, "one"), Kubelet(client, namespace)
    await world.add_class()
    now, image = datetime.now(UTC).replace(microsecond=0), f"{registry.name}/a/b:1"
    gone = {"metadata": {"name": "gone", "uid": "gone"}}
    words = 'Successfully pulled image "other:1" in 50s (50s including waiting). Image size: 1000 bytes.'
    await kubelet.say(gone, "Pulled", words, now - timedelta(minutes=5))
    listed = f"--image-registries={registry.name}"
    async with serving(control_plane, namespace, master_key_dir, listed) as gateway:
        asks = f"--gateway-peers=127.0.0.1:{gateway.health_port}"
        log = tmp_path / "log"
        async with OperatorProcess.running(control_plane.kubeconfig, namespace, master_key_dir, log, asks):
            pod = await world.pod(await world.add(image=image))
            await kubelet.bind(pod["metadata"]["name"])
            await kubelet.say(pod, "Pulling", f'Pulling image "{image}"', now)
            # On a busy machine the first answer may be that the size is not known yet.
            found = await world.until(
                Reason.STARTING, keep=lambda it: bool(it.status.pull and it.status.pull.size_bytes)
            )
    pull, condition = found.status.pull, found.status.condition(READY)
    assert pull
    assert condition
    assert pull.size_bytes > 1230  # three layers and the configuration
    assert pull.expected_seconds > 60
    assert "(at most 1 MB compressed)" in condition.message
