"""What is told about a pod that goes: which limit was met, and what went with it."""

from dataclasses import replace
from datetime import timedelta

import pytest

from sandbox_common.losses import LOSSES, LossReason, loss_words, losses_words
from sandbox_common.reasons import Reason
from sandbox_common.times import rfc3339
from sandbox_crds.models import Loss, SandboxClass, SandboxStatus
from sandbox_operator.builders.pod import build_pod
from sandbox_operator.reporting.findings import finished
from sandbox_operator.reporting.losses import cause, lost_pod, vanished_pod, with_loss
from sandbox_operator.sandboxes.plan import plan
from sandbox_operator.sandboxes.world import Made, World
from sandbox_operator.watching.pods import Pod
from unit.sandbox_operator.samples import (
    KEY_ID,
    KEYS,
    LATER,
    NOW,
    POD_UID,
    VOLUME,
    class_,
    condition,
    pod,
    podless,
    ready,
    sandbox,
    status,
)

KEPT, LOST = class_(workspace={"persistent": True}), class_()
READY = sandbox(status=status(Reason.READY))


def evicted(message: str) -> Pod:
    by_kubelet = condition(True, "TerminationByKubelet", message)
    return pod(phase="Failed", reason="Evicted", message=message, disruption=by_kubelet)


# The kubelet's own formats (Kubernetes 1.36, pkg/kubelet/eviction/helpers.go), each with what it has met.
EVICTIONS = {
    'Usage of EmptyDir volume "home" exceeds the limit "1Gi". ': (LossReason.HOME_FULL, "pod.homeSize"),
    'Usage of EmptyDir volume "tmp" exceeds the limit "2Gi". ': (LossReason.TMP_FULL, "pod.tmpSize"),
    'Usage of EmptyDir volume "workspace" exceeds the limit "10Gi". ': (LossReason.WORKSPACE_FULL, "workspace.size"),
    'Usage of EmptyDir volume "injected" exceeds the limit "1Gi". ': (LossReason.EVICTED_BY_NODE, "requests"),
    "Pod ephemeral local storage usage exceeds the total limit of containers 10Gi. ": (
        LossReason.EPHEMERAL_STORAGE_FULL,
        "limits.ephemeral-storage",
    ),
    'Container agent-server exceeded its local ephemeral storage limit "10Gi". ': (
        LossReason.EPHEMERAL_STORAGE_FULL,
        "limits.ephemeral-storage",
    ),
    "The node was low on resource: ephemeral-storage. Threshold quantity: 10%, available: 9%. Container agent-server "
    "was using 6Gi, request is 1Gi, has larger consumption of ephemeral-storage. ": (
        LossReason.NODE_LOW_ON_DISK,
        "requests.ephemeral-storage",
    ),
    "The node was low on resource: inodes. ": (LossReason.NODE_LOW_ON_DISK, "disk"),
    "The node was low on resource: memory. Threshold quantity: 100Mi, available: 90Mi. ": (
        LossReason.NODE_LOW_ON_MEMORY,
        "requests.memory",
    ),
    "The node was low on resource: pids. ": (LossReason.NODE_LOW_ON_PROCESSES, "podPidsLimit"),
    "": (LossReason.EVICTED_BY_NODE, "requests"),
}


@pytest.mark.parametrize("message", EVICTIONS)
def test_the_remedy_names_what_the_kubelet_has_met(message: str) -> None:
    reason, field = EVICTIONS[message]
    assert cause(evicted(message)) is reason
    finding = finished(evicted(message))
    assert finding.reason is Reason.EVICTED
    assert field in finding.remedy
    assert ". ." not in finding.message
    assert finding.message.endswith(". It is replaced.")


def test_the_volumes_have_the_names_that_messages_are_read_by() -> None:
    built = build_pod(sandbox(), class_(pod={"readOnlyRootFilesystem": True}))
    assert {volume["name"] for volume in built["spec"]["volumes"]} == {"home", "tmp", "workspace"}


OTHERS: dict[str, tuple[Pod, LossReason]] = {
    "drained": (ready(disruption=condition(True, "EvictionByEvictionAPI", "evicting")), LossReason.DRAINED),
    "an eviction that was called off": (
        ready(disruption=condition(False, "EvictionByEvictionAPI", "evicting")),
        LossReason.DELETED,
    ),
    "preempted by the scheduler": (ready(disruption=condition(True, "PreemptionByScheduler")), LossReason.PREEMPTED),
    "preempted by the kubelet": (
        pod(phase="Failed", reason="Preempting", message="Preempted in order to admit critical pod"),
        LossReason.PREEMPTED,
    ),
    "tainted": (ready(disruption=condition(True, "DeletionByTaintManager")), LossReason.TAINTED),
    "node deleted": (
        pod(phase="Failed", disruption=condition(True, "DeletionByPodGC", "PodGC: node no longer exists")),
        LossReason.NODE_DELETED,
    ),
    "node shut down": (
        pod(
            phase="Failed",
            reason="Terminated",
            message="Pod was terminated in response to imminent node shutdown.",
            disruption=condition(True, "TerminationByKubelet"),
        ),
        LossReason.NODE_SHUTDOWN,
    ),
    "deleted with kubectl": (ready(), LossReason.DELETED),
    "ended": (pod(phase="Succeeded"), LossReason.ENDED),
}


@pytest.mark.parametrize("name", OTHERS)
def test_why_a_pod_was_lost(name: str) -> None:
    seen, reason = OTHERS[name]
    loss = lost_pod(READY, LOST, seen, LATER)
    assert loss
    assert (loss.reason, loss.time, loss.workspace, loss.pod_uid) == (reason, rfc3339(LATER), "Lost", POD_UID)
    assert lost_pod(READY.model_copy(update={"status": with_loss(READY.status, loss)}), LOST, seen, LATER) is None


@pytest.mark.parametrize(
    "seen",
    [
        pod(phase="Failed", reason="OutOfcpu"),
        pod(phase="Failed", reason="NodeShutdown", message="Pod was rejected as the node is shutting down."),
        evicted("The node had condition: [DiskPressure]. "),
        pod(phase="Failed", reason="UnexpectedAdmissionError"),
    ],
)
def test_nothing_is_lost_with_a_pod_that_its_node_has_rejected(seen: Pod) -> None:
    assert lost_pod(sandbox(), LOST, seen, LATER) is None


def test_what_becomes_of_the_workspace() -> None:
    never_ready = sandbox(status=status(Reason.STARTING))
    for known, of_class, told in (
        (READY, KEPT, "Kept"),
        (READY, LOST, "Lost"),
        (READY, None, ""),
        (never_ready, LOST, ""),
    ):
        loss = vanished_pod(known, of_class, LATER)
        assert loss
        assert loss.workspace == told


@pytest.mark.parametrize("of_class", [KEPT, LOST, None])
def test_the_pod_says_what_becomes_of_the_workspace_whatever_its_class_is_now(of_class: SandboxClass | None) -> None:
    for kept, told in ((True, "Kept"), (False, "Lost")):
        of_pod = sandbox(status=status(Reason.READY, workspace_kept=kept))
        failed = pod(phase="Failed", volume_claim=VOLUME if kept else "")
        for loss in (lost_pod(READY, of_class, failed, LATER), vanished_pod(of_pod, of_class, LATER)):
            assert loss
            assert loss.workspace == told


def test_a_pod_that_is_gone_with_its_node_says_so() -> None:
    silent = sandbox(status=status(Reason.NODE_LOST, "Node node-1 does not report."))
    loss = vanished_pod(silent, KEPT, LATER)
    assert loss
    assert (loss.reason, loss.message) == (LossReason.NODE_LOST, "Node node-1 does not report.")


VANISHED = {
    "another is there": (READY, replace(ready(), uid="another")),
    "class missing": (READY, None),
    "group forbidden": (sandbox(status=READY.status, runAsGroup=0), None),
}


@pytest.mark.parametrize("name", VANISHED)
def test_a_pod_that_has_vanished_is_told_with_the_next_status(name: str) -> None:
    known, present = VANISHED[name]
    made = plan(World(known, None if name == "class missing" else LOST, present, LATER, Made(KEY_ID, "another")), KEYS)
    assert made.status
    assert (made.status["lostPods"], made.status["lastLoss"]["reason"]) == (1, "Gone")


@pytest.mark.parametrize(
    "known",
    [
        sandbox(status=status(Reason.READY), suspend=True),
        sandbox(status=status(Reason.READY), generation=3),
        sandbox(status=podless(Reason.QUOTA_EXCEEDED)),
        sandbox(status=status(Reason.POD_TERMINATING)),
    ],
)
def test_a_pod_that_the_operator_ended_is_no_loss(known: object) -> None:
    made = plan(World(known, None, None, NOW + timedelta(hours=1)), KEYS)  # pyright: ignore[reportArgumentType]
    assert "lostPods" not in (made.status or {})


def test_losses_are_counted_and_the_last_one_is_kept() -> None:
    told = SandboxStatus()
    assert losses_words(told) == ""
    for number in (1, 2):
        told = with_loss(told, Loss(time=rfc3339(NOW), reason="HomeFull", workspace="Lost", podUID=str(number)))
    assert told.lost_pods == 2
    assert losses_words(told) == (
        "At 2026-11-23T12:00:00Z (2 pods lost so far): The home directory was fuller than its class allows, so the "
        "node ended the pod. The content of /workspace is lost. Remedy: Keep less in it, or raise pod.homeSize of the "
        "SandboxClass."
    )
    gone = with_loss(told, Loss(time=rfc3339(NOW), reason="VolumeGone", workspace="Lost"))
    assert (gone.lost_pods, gone.last_loss and gone.last_loss.reason) == (2, "VolumeGone")


def test_every_reason_has_a_meaning_and_a_remedy() -> None:
    assert list(LOSSES) == list(LossReason)
    assert all(meaning.text.endswith(".") and meaning.remedy.endswith(".") for meaning in LOSSES.values())
    # A later version may know more.
    assert "Remedy: " in loss_words(Loss(time="", reason="Unheard"))
