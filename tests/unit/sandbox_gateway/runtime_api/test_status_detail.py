"""`status_detail` holds the words that the OpenHands app looks for just when they are true."""

import re
from dataclasses import replace
from typing import Any

import pytest

from sandbox_common.reasons import MEANINGS, Reason
from sandbox_common.sandboxes.view import View, view
from sandbox_crds.models import SandboxClassSpec
from sandbox_gateway.runtime_api.status_detail import status_detail
from unit.sandbox_gateway.support import NOW, sandbox, status

WORDS = re.compile(
    r"ImagePullBackOff|ErrImagePull|CreateContainerConfigError|CreateContainerError|untolerated taint|node affinity"
    r"|unbound|Insufficient (?:cpu|memory|ephemeral-storage|pods)|runtime_ingress:\d+"
)
"""What the app looks for."""

CONDITIONS = [
    # The scheduler's messages (Kubernetes 1.36, pkg/scheduler/framework/plugins).
    (
        Reason.UNSCHEDULABLE,
        "The pod cannot be scheduled: 0/3 nodes are available: 1 Insufficient cpu, 1 Insufficient memory, "
        "1 Insufficient ephemeral-storage. no new claims to deallocate, preemption: 0/3 nodes are available: "
        "3 No preemption victims found for incoming pod. Remedy: Add nodes.",
        {"Insufficient cpu", "Insufficient memory", "Insufficient ephemeral-storage"},
    ),
    (
        Reason.UNSCHEDULABLE,
        "The pod cannot be scheduled: 0/1 nodes are available: 1 Too many pods. Remedy: Add nodes.",
        {"Insufficient pods"},
    ),
    (
        Reason.UNSCHEDULABLE,
        "The pod cannot be scheduled: 0/1 nodes are available: 1 node(s) had untolerated taint(s).",
        {"untolerated taint"},
    ),
    (
        Reason.UNSCHEDULABLE,
        "The pod cannot be scheduled: 0/2 nodes are available: 1 node(s) had untolerated taint {team: blue}, "
        "1 node(s) didn't match Pod's node affinity/selector.",
        {"untolerated taint", "node affinity"},
    ),
    (
        Reason.UNSCHEDULABLE,
        "The pod cannot be scheduled: 0/1 nodes are available: 1 node(s) didn't match PersistentVolume's node "
        "affinity, 1 Insufficient example.com/gpu.",
        {"node affinity"},
    ),
    (
        Reason.VOLUME_NOT_BOUND,
        "The pod cannot be scheduled: 0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.",
        {"unbound"},
    ),
    (
        Reason.VOLUME_NOT_BOUND,
        'The workspace\'s volume is not bound. ProvisioningFailed: storageclass.storage.k8s.io "fast" not found',
        {"unbound"},
    ),
    # The kubelet's.
    (
        Reason.POD_FAILED,
        "OutOfcpu: Node didn't have enough resource: cpu, requested: 500. It is replaced.",
        {"Insufficient cpu"},
    ),
    (
        Reason.IMAGE_PULL_BACK_OFF,
        'ImagePullBackOff: the image a/b:c cannot be pulled: failed to resolve reference "a/b:c": not found',
        {"ImagePullBackOff"},
    ),
    (
        Reason.CREATE_CONTAINER_ERROR,
        'CreateContainerConfigError: secret "none" not found',
        {"CreateContainerError", "CreateContainerConfigError"},
    ),
    (Reason.CREATE_CONTAINER_ERROR, 'FailedMount: secret "none" not found', {"CreateContainerError"}),
    (Reason.OOM_KILLED, "The agent server ran out of memory (OOMKilled, exit code 137).", set[str]()),
    (Reason.QUOTA_EXCEEDED, "exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1", set[str]()),
    (Reason.QUEUED, "Owner a has reached its limit running=1.", set[str]()),
]


@pytest.mark.parametrize(("reason", "message", "words"), CONDITIONS)
def test_the_words_of_a_condition_are_let_through(reason: Reason, message: str, words: set[str]) -> None:
    seen = view(sandbox(status=status(reason, message)), NOW, reached=True, class_=SandboxClassSpec(), left=False)
    told = status_detail(seen)
    assert told is not None
    assert message in told
    assert told.startswith(reason)
    assert set(WORDS.findall(told)) == words


@pytest.mark.parametrize("reason", Reason)
def test_the_words_and_remedies_of_our_own_are_never_taken_for_others(reason: Reason) -> None:
    meaning = MEANINGS[reason]
    seen = View(meaning.lifecycle, meaning.pod_status, reason, f"{meaning.text} Remedy: {meaning.remedy}")
    own: dict[str, Any] = {Reason.VOLUME_NOT_BOUND: "unbound"}
    assert set(WORDS.findall(status_detail(seen) or "")) <= {str(reason), own.get(reason, "")}


@pytest.mark.parametrize("reason", [Reason.PENDING, Reason.STARTING, Reason.SUSPENDED, Reason.IDLE])
def test_what_goes_as_usual_has_none(reason: Reason) -> None:
    meaning = MEANINGS[reason]
    assert status_detail(View(meaning.lifecycle, meaning.pod_status, reason, meaning.text)) is None
    assert status_detail(View("running", "ready", Reason.READY, "")) is None


def test_a_ready_pod_that_the_gateway_does_not_reach() -> None:
    seen = view(sandbox(status=status(Reason.READY)), NOW, reached=False, class_=SandboxClassSpec(), left=False)
    assert status_detail(seen) is None
    assert status_detail(replace(seen, refused=502)) == f"runtime_ingress:502: {seen.message}"
