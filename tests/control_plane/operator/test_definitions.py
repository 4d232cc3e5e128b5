"""Another release's older chart has replaced the CustomResourceDefinitions, and somebody mends it later."""

import copy
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from control_plane.audit import Audit, kinds
from control_plane.cluster_scope import CUSTOM_RESOURCES, manifests
from control_plane.operator.process import OperatorProcess
from control_plane.operator.world import World
from control_plane.waiting import eventually
from local_cluster.build import kubernetes_version
from local_cluster.control_plane import ControlPlane
from sandbox_common.kube import KubeClient, KubeObject, Resource
from sandbox_common.kube.resources import PODS, SANDBOX_CLASSES, SANDBOXES
from sandbox_common.reasons import Reason
from sandbox_operator.app import USER_AGENT

REVIEWS = Resource("authorization.k8s.io", "v1", "subjectaccessreviews", "SubjectAccessReview", namespaced=False)


def without(manifest: KubeObject, *path: str) -> None:
    properties = manifest["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    properties[path[0]].pop("default", None)
    for name in path[:-1]:
        part = properties[name]
        properties = part.get("items", part)["properties"]
    del properties[path[-1]]


def older() -> list[KubeObject]:
    """Our definitions without fields that came late."""
    lacking = copy.deepcopy(manifests())
    by_plural = {manifest["spec"]["names"]["plural"]: manifest for manifest in lacking}
    without(by_plural["sandboxclasses"], "spec", "egress")
    without(by_plural["sandboxclasses"], "spec", "pod", "hostUsers")
    without(by_plural["sandboxes"], "status", "observedGeneration")
    without(by_plural["sandboxes"], "status", "conditions", "observedGeneration")
    return lacking


async def replace_all(client: KubeClient, wanted: list[KubeObject]) -> None:
    for manifest in wanted:
        name = manifest["metadata"]["name"]
        changes = [{"op": "replace", "path": "/spec/versions", "value": manifest["spec"]["versions"]}]
        await client.json_patch(CUSTOM_RESOURCES, "", name, changes)


@pytest.fixture
async def world(client: KubeClient, namespace: str) -> AsyncIterator[World]:
    world = World(client, namespace, "one")
    # Servers before Kubernetes 1.33 have no user namespaces to ask for.
    await world.add_class("closed", egress="None", pod={"hostUsers": kubernetes_version() < (1, 33)})
    yield world
    await replace_all(client, manifests())


async def test_nothing_is_opened_and_nothing_written_again_and_again(
    control_plane: ControlPlane, world: World, master_key_dir: Path, tmp_path: Path, audit: Audit
) -> None:
    client, namespace = world.client, world.namespace
    await replace_all(client, older())

    async def is_pruned() -> bool:
        return "egress" not in (await client.get(SANDBOX_CLASSES, namespace, "closed"))["spec"]

    await eventually(is_pruned)
    log = tmp_path / "log"
    operator = await OperatorProcess.start(control_plane.kubeconfig, namespace, master_key_dir, log)
    try:
        await world.add(className="closed")
        refused = await world.until(Reason.POD_REFUSED)
        condition = refused.status.condition("Ready")
        assert condition
        assert "CustomResourceDefinition is older than the operator" in condition.message
        assert (await client.list(PODS, namespace))["items"] == []

        async def is_said() -> bool:
            return "SandboxClass.spec.egress" in operator.log

        await eventually(is_said)
        assert "SandboxClass.spec.pod.hostUsers" in operator.log
        assert await operator.status("/readyz") == 503
        assert await operator.status("/healthz") == 200, "a restart would mend nothing"

        for number in range(3):
            await client.patch(SANDBOXES, namespace, "one", {"metadata": {"annotations": {"look": str(number)}}})
            await world.add(f"later-{number}", className="closed")
            await world.until(Reason.POD_REFUSED, f"later-{number}")
        written = await audit.writes(client, namespace, USER_AGENT)
        assert kinds(written).count("patch sandboxes/status") == 4, "one for each sandbox"

        await replace_all(client, manifests())

        async def pod() -> KubeObject | None:
            found = (await client.list(PODS, namespace))["items"]
            return found[0] if found else None

        made = await eventually(pod)
        assert made["metadata"]["labels"]["sandbox.openhands.dev/egress"] == "None"
        assert made["spec"].get("hostUsers", True) is (kubernetes_version() < (1, 33))

        async def is_ready() -> bool:
            return await operator.status("/readyz") == 200

        await eventually(is_ready)
    finally:
        await operator.kill()


async def test_an_account_without_rights_reads_the_document(client: KubeClient, namespace: str) -> None:
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": f"system:serviceaccount:{namespace}:any",
            "groups": ["system:serviceaccounts", "system:authenticated"],
            "nonResourceAttributes": {"path": "/openapi/v3/apis/sandbox.openhands.dev/v1alpha1", "verb": "get"},
        },
    }
    answer = await client.create(REVIEWS, "", body)
    assert answer["status"]["allowed"]


@pytest.mark.parametrize(
    ("spec", "reason", "words"),
    [
        pytest.param(
            {"pod": {"hostUsers": False}},
            Reason.POD_REFUSED,
            "It needs Kubernetes 1.33",
            marks=pytest.mark.kubernetes(before="1.33"),
        ),
        pytest.param(
            {"agentServer": {"image": "registry.example/agent-server:1"}},
            Reason.IMAGE_VOLUMES_UNSUPPORTED,
            "upgrade to Kubernetes 1.35",
            marks=pytest.mark.kubernetes(before="1.35"),
        ),
    ],
)
async def test_what_an_older_kubernetes_lacks_is_a_reason(
    control_plane: ControlPlane,
    world: World,
    master_key_dir: Path,
    tmp_path: Path,
    spec: dict[str, Any],
    reason: Reason,
    words: str,
) -> None:
    client, namespace = world.client, world.namespace
    await world.add_class("modern", **spec)
    operator = await OperatorProcess.start(control_plane.kubeconfig, namespace, master_key_dir, tmp_path / "log")
    try:
        await world.add(className="modern")
        refused = await world.until(reason)
        condition = refused.status.condition("Ready")
        assert condition
        assert words in condition.message

        async def is_gone() -> bool:
            return (await client.list(PODS, namespace))["items"] == []

        await eventually(is_gone)
    finally:
        await operator.kill()
