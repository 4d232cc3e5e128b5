"""What a sandbox loses with a pod that goes without being asked to: pure.

Kubelets say in words alone which limit was met (Kubernetes 1.36, pkg/kubelet/eviction/helpers.go).
"""

import re
from datetime import datetime

from sandbox_common import times
from sandbox_common.losses import LossReason
from sandbox_common.reasons import Reason
from sandbox_common.remedies import said
from sandbox_crds.models import Loss, Sandbox, SandboxClass, SandboxStatus
from sandbox_operator.reporting.conditions import READY
from sandbox_operator.reporting.redaction import tail
from sandbox_operator.watching.pods import Pod

_MESSAGE_CHARACTERS = 512

_EVICTED = "Evicted"
_EVICTIONS: tuple[tuple[re.Pattern[str], LossReason], ...] = tuple(
    (re.compile(pattern), reason)
    for pattern, reason in (
        (r'^Usage of EmptyDir volume "home" exceeds', LossReason.HOME_FULL),
        (r'^Usage of EmptyDir volume "tmp" exceeds', LossReason.TMP_FULL),
        (r'^Usage of EmptyDir volume "workspace" exceeds', LossReason.WORKSPACE_FULL),
        (r"^Pod ephemeral local storage usage exceeds", LossReason.EPHEMERAL_STORAGE_FULL),
        (r"^Container \S+ exceeded its local ephemeral storage limit", LossReason.EPHEMERAL_STORAGE_FULL),
        (r"^The node was low on resource: (ephemeral-storage|inodes)\b", LossReason.NODE_LOW_ON_DISK),
        (r"^The node was low on resource: memory\b", LossReason.NODE_LOW_ON_MEMORY),
        (r"^The node was low on resource: pids\b", LossReason.NODE_LOW_ON_PROCESSES),
    )
)
"""From the beginning of a kubelet's message to what was met; volumes have the names that `builders.pod` gives them."""

_DISRUPTIONS = {
    "EvictionByEvictionAPI": LossReason.DRAINED,
    "PreemptionByScheduler": LossReason.PREEMPTED,
    "DeletionByTaintManager": LossReason.TAINTED,
    "DeletionByPodGC": LossReason.NODE_DELETED,
}
"""Reasons of the condition DisruptionTarget (Kubernetes 1.36)."""

_ENDS = {"Preempting": LossReason.PREEMPTED, "Terminated": LossReason.NODE_SHUTDOWN, "NodeLost": LossReason.NODE_LOST}
"""Reasons of a pod that its kubelet or a controller has ended."""

_NEVER_RAN = re.compile(r"^(OutOf|UnexpectedAdmissionError|NodeShutdown|NodeAffinity|Topology|PodOS|PodLevel)")
"""Reasons of pods that their node rejects: nothing in them ever ran (pkg/kubelet/lifecycle, kubelet.go)."""
_REJECTED_UNDER_PRESSURE = "The node had condition:"


def cause(pod: Pod) -> LossReason:
    """Why a pod goes that somebody has deleted, or that its node has ended."""
    if pod.reason == _EVICTED:
        return next((reason for met, reason in _EVICTIONS if met.search(pod.message)), LossReason.EVICTED_BY_NODE)
    if pod.reason in _ENDS:
        return _ENDS[pod.reason]
    if pod.disruption and pod.disruption.status and pod.disruption.reason in _DISRUPTIONS:
        return _DISRUPTIONS[pod.disruption.reason]
    return LossReason.ENDED if pod.is_finished else LossReason.DELETED


def lost_pod(sandbox: Sandbox, class_: SandboxClass | None, pod: Pod, now: datetime) -> Loss | None:
    """The loss of this pod; None when it is told already, or nothing ever ran in it."""
    if _is_told(sandbox, pod.uid) or _NEVER_RAN.search(pod.reason) or _was_rejected(pod):
        return None
    was_ready = pod.is_ready or (sandbox.status.pod_uid == pod.uid and bool(sandbox.status.ready_time))
    by_others = pod.disruption.message if pod.disruption and pod.disruption.status else ""
    return _loss(cause(pod), pod.message or by_others, class_, pod.uid, now, was_ready=was_ready)


def vanished_pod(sandbox: Sandbox, class_: SandboxClass | None, now: datetime) -> Loss | None:
    """The loss of the pod that the status speaks of and that is not there; None when it is told already."""
    status = sandbox.status
    if _is_told(sandbox, status.pod_uid):
        return None
    condition = status.condition(READY)
    lost_node = condition is not None and condition.reason == Reason.NODE_LOST
    reason, words = (LossReason.GONE, "")
    if condition and lost_node:
        reason, words = LossReason.NODE_LOST, said(status, condition)
    return _loss(reason, words, class_, status.pod_uid, now, was_ready=bool(status.ready_time))


def lost_volume(sandbox: Sandbox, made: datetime | None, now: datetime) -> Loss | None:
    """That the claim of its workspace is newer than the sandbox's first readiness; None when it is not, or told."""
    status = sandbox.status
    if made is None or not status.first_ready_time or made <= times.parse(status.first_ready_time):
        return None
    if status.last_loss and times.parse(status.last_loss.time) >= made:
        return None
    # The clock here may be behind the API server's; it is told once all the same.
    return Loss(time=times.rfc3339(max(now, made)), reason=LossReason.VOLUME_GONE, workspace="Lost")


def with_loss(status: SandboxStatus, loss: Loss | None) -> SandboxStatus:
    """The same status that also tells of this loss, if there is one."""
    if loss is None:
        return status
    pods = status.lost_pods + (loss.reason != LossReason.VOLUME_GONE)
    return status.model_copy(update={"lost_pods": pods, "last_loss": loss})


def _is_told(sandbox: Sandbox, uid: str) -> bool:
    last = sandbox.status.last_loss
    return last is not None and last.pod_uid == uid


def _was_rejected(pod: Pod) -> bool:
    return pod.reason == _EVICTED and pod.message.startswith(_REJECTED_UNDER_PRESSURE)


def _loss(
    reason: LossReason, message: str, class_: SandboxClass | None, uid: str, now: datetime, *, was_ready: bool
) -> Loss:
    kept = class_ is not None and class_.spec.workspace.persistent
    return Loss(
        time=times.rfc3339(now),
        reason=reason,
        message=tail(message, _MESSAGE_CHARACTERS),
        workspace="Kept" if kept else "Lost" if class_ and was_ready else "",
        podUID=uid,
    )
