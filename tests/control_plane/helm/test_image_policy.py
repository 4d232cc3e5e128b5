"""The chart's ValidatingAdmissionPolicy on the real API server: the same verdicts as the gateway's own."""

import json
import secrets
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from control_plane.gateway.support import API_KEY, add_api_key, refusal, replica
from control_plane.helm.release import CHART, NAME, Cluster
from local_cluster.build import ensure
from local_cluster.control_plane import ControlPlane
from local_cluster.progress import Progress
from sandbox_common.keys import MasterKeys
from sandbox_common.kube import KubeClient
from sandbox_crds.image_patterns import ImagePattern
from sandbox_gateway.registry.allowed import is_allowed
from unit.sandbox_gateway.registry.images_and_patterns import CASES, PATTERNS, mutation

_SECONDS = 30.0
"""For the API server to learn of a policy; it takes one or two."""


def resource(name: str, image: str, kind: str = "Sandbox") -> dict[str, Any]:
    metadata = {"name": name}
    return {
        "apiVersion": "sandbox.openhands.dev/v1alpha1",
        "kind": kind,
        "metadata": metadata,
        "spec": {"image": image},
    }


def admitted(cluster: Cluster, images: Sequence[str]) -> list[bool]:
    """Whether the API server takes a Sandbox of each; it keeps none."""
    items = [resource(f"number-{number}", image) for number, image in enumerate(images)]
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    done = cluster.try_to("kubectl", "create", "--dry-run=server", "--output=name", "-f", "-", stdin=text)
    names = set(done.stdout.split())
    # The schema refuses what is no image reference, the policy all others.
    words = ("denied request: spec.image: ", "is invalid: spec.image: ")
    refusals = [line for line in done.stderr.splitlines() if any(said in line for said in words)]
    assert len(names) + len(refusals) == len(images), done.stderr
    return [f"sandbox.sandbox.openhands.dev/number-{number}" in names for number in range(len(images))]


def install(cluster: Cluster, patterns: Sequence[str]) -> None:
    """Install the chart, and return once images outside of the list are refused."""
    values = {"allowedImages": list(patterns), "admissionPolicy": {"create": True}}
    cluster.run("helm", "install", NAME, str(CHART), "--create-namespace", "--values=-", stdin=json.dumps(values))
    deadline = time.monotonic() + _SECONDS
    while admitted(cluster, ["evil.example/x"]) != [False]:
        assert time.monotonic() < deadline, "the policy is not enforced"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def cluster(control_plane: ControlPlane) -> Iterator[Cluster]:
    """A namespace in which the table's patterns hold, and a Sandbox `old` of another image that was there before."""
    ensure(["helm"], Progress())
    cluster = Cluster(control_plane.kubeconfig, f"test-{secrets.token_hex(4)}")
    cluster.run("kubectl", "create", "namespace", cluster.namespace)
    cluster.run("kubectl", "create", "-f", "-", stdin=json.dumps(resource("old", "evil.example/old")))
    install(cluster, PATTERNS)
    yield cluster
    cluster.run("helm", "uninstall", NAME)
    left = cluster.run(
        "kubectl", "get", "validatingadmissionpolicies,validatingadmissionpolicybindings", "--output=name"
    )
    assert cluster.namespace not in left
    cluster.run("kubectl", "delete", "namespace", cluster.namespace, "--wait=false")


def allowed(image: str) -> bool:
    try:
        return is_allowed(image, PATTERNS)
    except ValueError:
        return False


def test_the_api_server_and_the_gateway_agree_on_the_table(cluster: Cluster) -> None:
    assert dict(zip(CASES, admitted(cluster, list(CASES)), strict=True)) == CASES


def test_they_agree_on_what_is_like_it_but_for_a_few_characters(cluster: Cluster) -> None:
    images = [mutation(seed) for seed in range(400)]
    verdicts = admitted(cluster, images)
    assert dict(zip(images, verdicts, strict=True)) == {image: allowed(image) for image in images}
    assert 40 < sum(verdicts) < 360, "both verdicts are tried"


@pytest.mark.parametrize("kind", ["Sandbox", "SandboxPool"])
def test_a_refusal_names_field_image_and_rules(cluster: Cluster, kind: str) -> None:
    body = json.dumps(resource("evil", "evil.example/x", kind))
    said = cluster.try_to("kubectl", "create", "--dry-run=server", "-f", "-", stdin=body).stderr
    assert "spec.image: evil.example/x is not allowed in namespace" in said
    assert "(allowedImages of the release openhands-sandbox). Allowed are: ghcr.io/openhands/*, " in said
    good = json.dumps(resource("good", "ghcr.io/openhands/agent-server:1", kind))
    cluster.run("kubectl", "create", "--dry-run=server", "-f", "-", stdin=good)


def test_what_was_there_before_can_be_changed_but_not_to_another_such_image(cluster: Cluster) -> None:
    def patch(fields: dict[str, Any], *flags: str) -> str:
        text = json.dumps(fields)
        return cluster.try_to("kubectl", "patch", "ohsb", "old", "--type=merge", f"--patch={text}", *flags).stderr

    assert patch({"spec": {"suspend": True}}) == ""
    assert patch({"status": {"podName": "a-pod"}}, "--subresource=status") == ""
    assert "spec.image: evil.example/new is not allowed" in patch({"spec": {"image": "evil.example/new"}})
    assert patch({"spec": {"image": "ghcr.io/openhands/agent-server"}}) == ""
    assert "spec.image: evil.example/old is not allowed" in patch({"spec": {"image": "evil.example/old"}})


async def test_a_gateway_with_another_list_passes_the_api_servers_words_on(
    cluster: Cluster, control_plane: ControlPlane, client: KubeClient, master_keys: MasterKeys
) -> None:
    await add_api_key(client, cluster.namespace, API_KEY, "alice")
    async with replica(control_plane.kubeconfig, cluster.namespace, master_keys) as gateway:
        response = await gateway.http.post("/start", json={"image": "evil.example/x", "session_id": "s"})
        assert "spec.image: evil.example/x is not allowed in namespace" in refusal(response, 422)
        await gateway.start("s", image="ghcr.io/openhands/agent-server")


def test_other_namespaces_are_left_alone(cluster: Cluster) -> None:
    assert admitted(Cluster(cluster.kubeconfig, "default"), ["evil.example/x", "ghcr.io/openhands/a"]) == [True, True]


def test_the_api_server_finds_nothing_to_warn_of(cluster: Cluster) -> None:
    name = f"{NAME}-images.{cluster.namespace}"
    deadline = time.monotonic() + _SECONDS
    while True:
        policy = json.loads(cluster.run("kubectl", "get", "validatingadmissionpolicy", name, "--output=json"))
        if policy.get("status", {}).get("observedGeneration") == policy["metadata"]["generation"]:
            break
        assert time.monotonic() < deadline, "the policy is not type-checked"
        time.sleep(0.1)
    assert policy["status"].get("typeChecking", {}) == {}


def test_a_list_as_long_as_the_chart_takes_it_holds(control_plane: ControlPlane, cluster: Cluster) -> None:
    def longest(number: int) -> str:
        name = f"registry.example/{number:03}/" + "x" * 512
        return name[: 512 - 72] + "@sha256:" + f"{number:064x}"

    patterns = [longest(number) for number in range(100)]
    assert {len(pattern) for pattern in patterns} == {512}
    assert ImagePattern.parse(patterns[-1])
    large = Cluster(control_plane.kubeconfig, f"test-{secrets.token_hex(4)}")
    install(large, patterns)
    images = [patterns[0], patterns[-1], patterns[-1][:-1] + "0", "registry.example/" + "x" * 1007]
    assert admitted(large, images) == [True, True, False, False]
    large.run("helm", "uninstall", NAME)
    large.run("kubectl", "delete", "namespace", large.namespace, "--wait=false")
