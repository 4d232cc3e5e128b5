"""What a keeper's pod says, as the kubelet and the scheduler report it."""

from typing import Any

import pytest

from sandbox_operator.images.builders import build_keeper
from sandbox_operator.images.keepers import State, decode, full
from unit.sandbox_operator.images.samples import LIST_UID, NODE, listed
from unit.sandbox_operator.samples import NOW

DENIED = 'failed to pull and unpack image "registry.example/a:1": 401 Unauthorized'


def stored(*texts: str, node: str = "", **status: Any) -> dict[str, Any]:
    body = build_keeper(listed(*texts), NODE, texts, "pause:1", "tasks-a")
    body["metadata"] |= {"uid": "u", "creationTimestamp": "2026-11-23T12:00:00Z", "resourceVersion": "3"}
    return body | {"spec": body["spec"] | ({"nodeName": node} if node else {}), "status": status}


def container(**state: Any) -> dict[str, Any]:
    return {"containerStatuses": [{"name": "keeper", "state": state}]}


def test_what_was_built_is_read() -> None:
    found = decode(stored("python:3", "registry.example/a:1"))
    assert (found.name, found.uid, found.owner_uid, found.of, found.node) == ("tasks-a", "u", LIST_UID, "tasks", NODE)
    assert found.images == ("docker.io/library/python:3", "registry.example/a:1")
    assert (found.state, found.reason) == (State.WAITING, "")


@pytest.mark.parametrize(
    ("status", "state", "reason"),
    [
        ({}, State.PULLING, ""),
        (container(waiting={"reason": "ContainerCreating"}), State.PULLING, ""),
        (container(running={"startedAt": "2026-11-23T12:00:00Z"}), State.READY, ""),
        (container(waiting={"reason": "ErrImagePull", "message": DENIED}), State.FAILED, "ImagePullDenied"),
        (container(waiting={"reason": "ImagePullBackOff", "message": "x"}), State.FAILED, "ImagePullBackOff"),
        (container(waiting={"reason": "InvalidImageName", "message": "x"}), State.FAILED, "InvalidImageName"),
        (container(waiting={"reason": "CreateContainerError"}), State.FAILED, "CreateContainerError"),
        (container(waiting={"reason": "CrashLoopBackOff"}), State.FAILED, "CrashLoopBackOff"),
        ({"phase": "Failed", "reason": "Evicted", "message": "disk"}, State.FAILED, "Evicted"),
    ],
)
def test_states(status: dict[str, Any], state: State, reason: str) -> None:
    found = decode(stored("registry.example/a:1", node=NODE, **status))
    assert (found.state, found.reason) == (state, reason)
    assert (found.since == NOW) == (state is State.READY)


def test_containers_of_others_say_nothing_of_the_images() -> None:
    injected = {"name": "a-sidecar", "state": {"running": {"startedAt": "2026-11-23T11:00:00Z"}}}
    own = {"name": "keeper", "state": {"waiting": {"reason": "ErrImagePull", "message": DENIED}}}
    found = decode(stored("registry.example/a:1", node=NODE, containerStatuses=[injected, own]))
    assert (found.state, found.reason) == (State.FAILED, "ImagePullDenied")
    assert decode(stored("registry.example/a:1", node=NODE, containerStatuses=[injected])).state is State.PULLING


def test_a_pod_without_a_place_says_why() -> None:
    refusal = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "Too many pods"}
    found = decode(stored("registry.example/a:1", conditions=[refusal]))
    assert (found.state, found.reason, found.message) == (State.WAITING, "Unschedulable", "Too many pods")


def test_a_long_message_is_cut_and_a_password_is_not_shown() -> None:
    said = 'failed: Get "https://user:hunter22@registry.example/v2/?sig=abc": EOF ' + "x" * 1000
    found = decode(stored("a:1", node=NODE, **container(waiting={"reason": "ErrImagePull", "message": said})))
    assert len(found.message) == 512
    assert found.message.startswith('failed: Get "https://registry.example/v2/": EOF x')


def test_other_pods_are_refused() -> None:
    with pytest.raises(ValueError, match="not a keeper"):
        decode({"metadata": {"name": "x"}, "spec": {}})
    body = stored("a:1")
    body["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"] = []
    with pytest.raises(ValueError, match="not a keeper"):
        decode(body)


def test_what_is_malformed_stays_as_it_is() -> None:
    assert full("A//b") == "A//b"
