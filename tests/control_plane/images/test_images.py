"""Lists of images on nodes of a control plane; the test plays the kubelets."""

import asyncio
import json
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from control_plane.audit import Audit
from control_plane.cluster_scope import connected, fresh_namespace
from control_plane.images.shelf import IMAGE_VOLUMES, MISSING, NODE_NAMES, SIZE, TEN, Kubelets, Shelf, two_nodes
from control_plane.operator.process import OperatorProcess
from control_plane.waiting import eventually
from local_cluster.control_plane import ControlPlane
from sandbox_common.kube import ApiError
from sandbox_common.kube.resources import SANDBOX_IMAGES
from sandbox_common.reasons import ImagesReason
from sandbox_crds.models.sandbox_images import MOST_IMAGES
from sandbox_operator.app import USER_AGENT

_PLUGIN = Path(sys.executable).with_name("kubectl-ohsb")


@pytest_asyncio.fixture(loop_scope="function")
async def shelf(control_plane: ControlPlane, master_key_dir: Path, tmp_path: Path) -> AsyncIterator[Shelf]:
    """A namespace of its own with the console script at work, and two nodes."""
    async with (
        connected(control_plane) as client,
        fresh_namespace(client) as namespace,
        two_nodes(client),
        OperatorProcess.running(
            control_plane.kubeconfig, namespace, master_key_dir, tmp_path / "log", "--read-nodes=true"
        ) as operator,
    ):
        shelf = Shelf(client, namespace, "tasks")
        await shelf.add_class()
        yield shelf
        assert '"level": "error"' not in operator.log


@pytest_asyncio.fixture(loop_scope="function")
async def kubelets(shelf: Shelf) -> AsyncIterator[Kubelets]:
    """The kubelets of both nodes, at work."""
    kubelets = Kubelets(shelf.client, shelf.namespace)
    async with kubelets.running_all():
        yield kubelets


@IMAGE_VOLUMES
async def test_all_images_come_to_all_nodes_and_what_fails_is_named(
    shelf: Shelf, kubelets: Kubelets, audit: Audit
) -> None:
    await shelf.list(images=[*TEN[:3], MISSING, TEN[0], *TEN[3:5]], parallelism=2)
    item = await shelf.reports(ImagesReason.PULLS_FAILING, ready=10, failed=2, wanted=12, pulling=0)
    for node in NODE_NAMES:
        assert await shelf.kept(node) == set(TEN[:5])
        assert sorted(kubelets.pulled[node]) == TEN[:5], "each image is pulled once"
    assert kubelets.most_pulling <= 2
    writes = await audit.writes(shelf.client, shelf.namespace, USER_AGENT)
    counts = Counter(write.what for write in writes)
    # One for each image and node, and two for each failure.
    assert (counts["create pods"], counts["delete pods"]) == (12, 2)
    assert counts.keys() == {"create pods", "delete pods", "patch sandboximages/status"}
    [failure] = item.status.failures
    assert (failure.image, failure.reason, failure.nodes) == (MISSING, "ImageNotFound", 2)
    duplicates = item.status.condition("Duplicates")
    assert duplicates
    assert duplicates.message == f"The list has these images more than once: {TEN[0]}."
    assert item.status.bytes == 10 * SIZE
    # Without the wrong entry, and for one node: what else is there goes.
    spec = {"images": TEN[:4], "nodeSelector": {"disk": "two"}}
    await shelf.client.patch(SANDBOX_IMAGES, shelf.namespace, shelf.name, {"spec": spec})
    item = await shelf.reports(ImagesReason.KEPT, ready=4, wanted=4, nodes=1)
    assert not item.status.failures
    await eventually(lambda: _kept(shelf, one=set(), two=set(TEN[:4])))


@IMAGE_VOLUMES
async def test_a_window_moves_on_as_sandboxes_use_its_images(shelf: Shelf, kubelets: Kubelets) -> None:
    await shelf.list(images=TEN, parallelism=2, maxDisk="350M", nodeSelector={"disk": "one"})
    await shelf.reports(ImagesReason.KEPT, ready=3, wanted=3)
    assert await shelf.kept("one") == set(TEN[:3])
    sandbox = await shelf.add("user", image=TEN[0])
    pod = await shelf.pod(sandbox)
    await kubelets.bind(pod["metadata"]["name"], "one")
    await eventually(lambda: _kept(shelf, one=set(TEN[1:4])))
    item = await shelf.reports(ImagesReason.KEPT, ready=3, used="1")
    assert item.status.bytes == 3 * SIZE


@IMAGE_VOLUMES
async def test_another_operator_goes_on_from_what_is_there_and_writes_nothing(
    control_plane: ControlPlane, master_key_dir: Path, tmp_path: Path, shelf: Shelf, kubelets: Kubelets, audit: Audit
) -> None:
    await shelf.list(images=TEN, maxDisk="250M", nodeSelector={"disk": "one"})
    await shelf.reports(ImagesReason.KEPT, ready=2)
    sandbox = await shelf.add("user", image=TEN[1])
    await kubelets.bind((await shelf.pod(sandbox))["metadata"]["name"], "one")
    await shelf.reports(ImagesReason.KEPT, ready=2, used="2")
    before = await audit.writes(shelf.client, shelf.namespace, USER_AGENT)
    flags = ("--read-nodes=true", "--lease-name=another")
    log = tmp_path / "another"
    async with OperatorProcess.running(control_plane.kubeconfig, shelf.namespace, master_key_dir, log, *flags) as other:
        await eventually(lambda: _leads(other))
        await asyncio.sleep(2)
    after = await audit.writes(shelf.client, shelf.namespace, USER_AGENT)
    new = {write.what for write in after if write not in before}
    assert new.isdisjoint({"create pods", "delete pods", "patch sandboximages/status"})
    assert await shelf.kept("one") == {TEN[0], TEN[2]}


async def _leads(operator: OperatorProcess) -> bool:
    return '"leading"' in operator.log


async def test_a_list_without_a_bound_that_holds_is_refused_by_name(shelf: Shelf) -> None:
    too_many = [f"a:{number}" for number in range(10_000)]
    for images, message in (
        (too_many, f"must have at most {MOST_IMAGES} items"),
        (["fine", "Wrong//image"], "spec.images[1]"),
        ([], "spec.images"),
    ):
        with pytest.raises(ApiError, match=r"spec\.images") as caught:
            await shelf.list(images=images)
        assert message in caught.value.message
    longest = [f"r.example/{'a' * 496}:{number}" for number in range(MOST_IMAGES)]
    await shelf.list(images=longest, nodeSelector={"disk": "none"})
    await shelf.reports(ImagesReason.NO_NODES, images=MOST_IMAGES)


@IMAGE_VOLUMES
async def test_the_plugin_adds_to_a_list_and_shows_its_progress(
    control_plane: ControlPlane, shelf: Shelf, kubelets: Kubelets, tmp_path: Path
) -> None:
    async def plugin(*arguments: str) -> tuple[int | None, str]:
        target = ["--kubeconfig", str(control_plane.kubeconfig), "--namespace", shelf.namespace]
        process = await asyncio.create_subprocess_exec(
            _PLUGIN, "images", *arguments, *target, stdout=asyncio.subprocess.PIPE
        )
        output, _ = await process.communicate()
        return process.returncode, output.decode()

    file = tmp_path / "list.txt"
    file.write_text("\n".join(TEN[:2]))
    code, said = await plugin("add", "-f", str(file), "--name", shelf.name, "--node-selector", "disk=one")
    assert (code, said) == (0, "Added 2 images to the list tasks.\n")
    file.write_text("\n".join([*TEN[1:3], MISSING]))
    code, said = await plugin("add", "-f", str(file), "--name", shelf.name, "--parallelism", "4")
    assert (code, said) == (0, "Added 2 images to the list tasks. 1 were in it, or given, already.\n")
    code, said = await plugin("show", shelf.name, "--wait", "--timeout", "1m")
    assert code == 1, "an image is missing"
    assert MISSING in said
    code, said = await plugin("list", "--output", "json")
    [found] = json.loads(said)
    assert (code, found["name"], found["ready"], found["failed"]) == (0, shelf.name, 3, 1)


async def _kept(shelf: Shelf, **wanted: set[str]) -> bool:
    await asyncio.sleep(0.1)
    return all([await shelf.kept(node) == images for node, images in wanted.items()])
