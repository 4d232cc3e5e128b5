"""Pods that are evicted, deleted or killed: they are replaced, the status says so, and a volume's data survives."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.injections import class_body, sandbox_body
from cluster.observing import observing
from cluster.site import Site
from cluster.support import NAMESPACE, eventually
from demo.local_target import LocalTarget
from demo.targets import Images
from failures.observer import Observer, is_being_deleted
from sandbox_common.kube.resources import PODS
from sandbox_common.reasons import Reason

KEPT, LOST, SMALL = "with-volume", "without-volume", "small-home"
# Answers /health like an agent server, and needs no ten seconds of computing for it.
ANSWERS = "cd /tmp && touch health && exec /opt/agent-server/bin/python -m http.server 8000"
EATS_MEMORY_ONCE = f"test -e /workspace/eaten || {{ touch /workspace/eaten; exec tail /dev/zero; }}; {ANSWERS}"
READY_SECONDS = 60
_EVICTION_SECONDS = 90
"""The kubelet looks every 10 s at what it has measured every 10 s."""


@pytest.fixture(scope="module")
def observer(site: Site, target: LocalTarget) -> Iterator[Observer]:
    with observing(Path(target.environment()["KUBECONFIG"]), NAMESPACE) as observer:
        yield observer


@pytest.fixture(scope="module")
def sandboxes(site: Site, images: Images, observer: Observer) -> Iterator[dict[str, str]]:
    """Names of two ready sandboxes by their classes."""
    bodies = {
        KEPT: sandbox_body(KEPT, {"image": images.agent_server, "className": KEPT, "command": ["sh", "-c", ANSWERS]}),
        LOST: sandbox_body(
            LOST, {"image": images.agent_server, "className": LOST, "command": ["sh", "-c", EATS_MEMORY_ONCE]}
        ),
    }
    classes = [class_body(KEPT, {"workspace": {"persistent": True, "size": "1Gi"}}), class_body(LOST, {})]
    body = {"apiVersion": "v1", "kind": "List", "items": [*classes, *bodies.values()]}
    site.kubectl("apply", "--filename", "-", body=body)
    names = {class_: body["metadata"]["name"] for class_, body in bodies.items()}
    for name in names.values():
        await_ready(site, name)
    yield names
    site.kubectl("delete", "--filename", "-", body=body)


def status(site: Site, name: str) -> dict[str, Any]:
    return site.kubectl("get", "ohsb", name, "--output", "json").get("status", {})


def await_ready(site: Site, name: str, not_pod: str = "") -> dict[str, Any]:
    """The status once the sandbox is ready, in another pod than that of the UID `not_pod`."""

    def is_ready(seen: dict[str, Any]) -> bool:
        ready = [entry["status"] for entry in seen.get("conditions", []) if entry["type"] == "Ready"]
        return ready == ["True"] and seen["podUID"] != not_pod

    return eventually(lambda: status(site, name), is_ready, READY_SECONDS)


def lost_pods(site: Site, name: str) -> list[str]:
    """What the Events about its lost pods say, the oldest first."""
    events = site.kubectl("get", "events", "--field-selector", "reason=PodLost", "--output", "json")["items"]
    mine = [event for event in events if event["involvedObject"]["name"] == name]
    return [event["message"] for event in sorted(mine, key=lambda event: event["metadata"]["creationTimestamp"])]


def write_note(site: Site, pod: str) -> None:
    site.kubectl("exec", pod, "--", "sh", "-c", "echo kept > /workspace/note.txt; sync")


def read_note(site: Site, pod: str) -> str:
    return site.kubectl("exec", pod, "--", "cat", "/workspace/note.txt")


def test_a_container_that_was_killed_for_its_memory_once(site: Site, sandboxes: dict[str, str]) -> None:
    seen = await_ready(site, sandboxes[LOST])
    assert seen["restartCount"] == 1
    assert seen["restartReason"] == "The agent server ran out of memory (OOMKilled, exit code 137)."
    told = eventually(
        lambda: site.gateway.get(f"/sessions/{LOST}").json(), lambda told: told["pod_status"] == "ready", READY_SECONDS
    )
    assert told["restart_count"] == 1
    assert any("OOMKilled" in reason for reason in told["restart_reasons"])


def test_an_evicted_pod_is_replaced_and_keeps_its_volume(
    site: Site, sandboxes: dict[str, str], observer: Observer
) -> None:
    name = sandboxes[KEPT]
    before = await_ready(site, name)
    pod = before["podName"]
    write_note(site, pod)
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": NAMESPACE}}
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}/eviction"
    site.kubectl("create", "--raw", path, "--filename", "-", body=eviction)
    after = await_ready(site, name, not_pod=before["podUID"])
    assert after["launch"] == "Resume"
    assert after["keyID"] == before["keyID"]
    assert read_note(site, after["podName"]) == "kept\n"
    assert "Evicted" in observer.reasons(name)
    [told] = lost_pods(site, name)
    assert "Eviction API: evicting" in told
    assert "The workspace is kept" in told
    observer.say_delay("the eviction API", name, Reason.EVICTED, PODS, is_being_deleted)


def test_a_pod_that_is_deleted_by_hand_is_replaced(site: Site, sandboxes: dict[str, str], observer: Observer) -> None:
    name = sandboxes[LOST]
    before = await_ready(site, name)
    site.kubectl("delete", "pod", before["podName"], "--wait=false")
    await_ready(site, name, not_pod=before["podUID"])
    [told] = lost_pods(site, name)
    assert "was deleted, but not by the operator" in told
    assert "The workspace was not kept" in told
    assert "PodTerminating" in observer.reasons(name)
    observer.say_delay("kubectl delete pod", name, Reason.POD_TERMINATING, PODS, is_being_deleted)


def test_a_pod_that_vanishes_is_replaced(site: Site, sandboxes: dict[str, str]) -> None:
    name = sandboxes[KEPT]
    before = await_ready(site, name)
    write_note(site, before["podName"])
    site.kubectl("delete", "pod", before["podName"], "--grace-period=0", "--force")
    after = await_ready(site, name, not_pod=before["podUID"])
    assert read_note(site, after["podName"]) == "kept\n"
    told = lost_pods(site, name)[-1]
    assert "not by the operator" in told or "was not deleted by the operator" in told
    assert "The workspace is kept" in told


def test_a_home_that_is_too_full_is_named_for_as_long_as_the_sandbox_lives(site: Site, images: Images) -> None:
    class_ = class_body(SMALL, {"pod": {"readOnlyRootFilesystem": True, "homeSize": "10Mi"}})
    made = sandbox_body(SMALL, {"image": images.agent_server, "className": SMALL, "command": ["sh", "-c", ANSWERS]})
    body = {"apiVersion": "v1", "kind": "List", "items": [class_, made]}
    name = made["metadata"]["name"]
    site.kubectl("apply", "--filename", "-", body=body)
    before = await_ready(site, name)
    site.kubectl("exec", before["podName"], "--", "sh", "-c", "head -c 30M /dev/zero > ~/cache.bin")
    eventually(lambda: status(site, name), lambda seen: bool(seen.get("lostPods")), _EVICTION_SECONDS)
    after = await_ready(site, name, not_pod=before["podUID"])
    assert (after["lostPods"], after["lastLoss"]["reason"], after["lastLoss"]["workspace"]) == (1, "HomeFull", "Lost")
    [told] = lost_pods(site, name)
    assert 'Usage of EmptyDir volume "home" exceeds the limit "10Mi". A new one follows.' in told
    assert "raise pod.homeSize of the SandboxClass" in told
    answer = site.gateway.get(f"/sessions/{SMALL}").json()
    assert answer["restart_count"] == 1
    [lost] = [event["message"] for event in answer["events"] if event["reason"] == "PodLost"]
    assert lost in answer["restart_reasons"]
    assert "The content of /workspace is lost." in lost
    site.kubectl("delete", "--filename", "-", body=body)
