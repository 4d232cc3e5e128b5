"""What a sandbox loses with a pod that others end or delete. Pure.

Kubelets say which limit was exceeded only in their messages (Kubernetes 1.36, pkg/kubelet/eviction/helpers.go).
"""

import re
from datetime import datetime, timedelta

from sandbox_common import times
from sandbox_common.losses import LossReason
from sandbox_common.reasons import Reason
from sandbox_common.remedies import said
from sandbox_crds.models import Loss, Sandbox, SandboxClass, SandboxStatus
from sandbox_operator.reporting.conditions import READY
from sandbox_operator.reporting.redaction import tail
from sandbox_operator.reporting.suspension import workspace_kept
from sandbox_operator.watching.pods import Pod

_MESSAGE_CHARACTERS = 512
_SECOND = timedelta(seconds=1)
_CLOCKS_DIFFER = timedelta(seconds=10)

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
"""From the begin of a kubelet's message to the reason of the loss. `builders.pod` names the volumes."""

_DISRUPTIONS = {
    "EvictionByEvictionAPI": LossReason.DRAINED,
    "PreemptionByScheduler": LossReason.PREEMPTED,
    "DeletionByTaintManager": LossReason.TAINTED,
    "DeletionByPodGC": LossReason.NODE_DELETED,
}
"""Reasons of the condition DisruptionTarget (Kubernetes 1.36)."""

_ENDS = {"Preempting": LossReason.PREEMPTED, "Terminated": LossReason.NODE_SHUTDOWN, "NodeLost": LossReason.NODE_LOST}
"""Reasons of pods that their kubelet or a controller has ended."""

_NEVER_RAN = re.compile(r"^(OutOf|UnexpectedAdmissionError|NodeShutdown|NodeAffinity|Topology|PodOS|PodLevel)")
"""Reasons of pods that their node rejects, so that nothing in them ever ran (pkg/kubelet/lifecycle, kubelet.go)."""
_REJECTED_UNDER_PRESSURE = "The node had condition:"


def cause(pod: Pod) -> LossReason:
    """Why a pod was deleted by others or ended by its node."""
    if pod.reason == _EVICTED:
        return next((reason for met, reason in _EVICTIONS if met.search(pod.message)), LossReason.EVICTED_BY_NODE)
    if pod.reason in _ENDS:
        return _ENDS[pod.reason]
    if pod.disruption and pod.disruption.status and pod.disruption.reason in _DISRUPTIONS:
        return _DISRUPTIONS[pod.disruption.reason]
    return LossReason.ENDED if pod.is_finished else LossReason.DELETED


def lost_pod(sandbox: Sandbox, class_: SandboxClass | None, pod: Pod, now: datetime) -> Loss | None:
    """The loss of this pod; None if the status reports it already, or nothing ever ran in it."""
    if _is_reported(sandbox, pod.uid) or _NEVER_RAN.search(pod.reason) or _was_rejected(pod):
        return None
    was_ready = pod.is_ready or (sandbox.status.pod_uid == pod.uid and bool(sandbox.status.ready_time))
    by_others = pod.disruption.message if pod.disruption and pod.disruption.status else ""
    kept = workspace_kept(sandbox, class_, pod)
    return _loss(cause(pod), pod.message or by_others, pod.uid, now, kept=kept, was_ready=was_ready)


def vanished_pod(sandbox: Sandbox, class_: SandboxClass | None, now: datetime) -> Loss | None:
    """The loss of the status's pod, which no longer exists; None if the status reports the loss already."""
    status = sandbox.status
    if _is_reported(sandbox, status.pod_uid):
        return None
    condition = status.condition(READY)
    reason, words = LossReason.GONE, ""
    if condition and condition.reason == Reason.NODE_LOST:
        reason, words = LossReason.NODE_LOST, said(status, condition)
    kept = workspace_kept(sandbox, class_, None)
    return _loss(reason, words, status.pod_uid, now, kept=kept, was_ready=bool(status.ready_time))


def lost_volume(sandbox: Sandbox, made: datetime | None, now: datetime) -> Loss | None:
    """The loss of the workspace, if its claim is newer than the first readiness; None if not, or already reported."""
    status = sandbox.status
    # The first claim is made beside the first pod, in the same second or the next one.
    if made is None or not status.first_ready_time or made <= times.parse(status.first_ready_time) + _SECOND:
        return None
    if (last := status.last_loss) is not None:
        # The loss of the pod that came before may have a later time: this clock may be ahead of the API server's.
        ahead = timedelta() if last.reason == LossReason.VOLUME_GONE else _CLOCKS_DIFFER
        if times.parse(last.time) >= made + ahead:
            return None
    # This clock may be behind the API server's; the loss must be reported only once nevertheless.
    return Loss(time=times.rfc3339(max(now, made)), reason=LossReason.VOLUME_GONE, workspace="Lost")


def with_loss(status: SandboxStatus, loss: Loss | None) -> SandboxStatus:
    """The status with this loss, if there is one."""
    if loss is None:
        return status
    pods = status.lost_pods + (loss.reason != LossReason.VOLUME_GONE)
    return status.model_copy(update={"lost_pods": pods, "last_loss": loss})


def _is_reported(sandbox: Sandbox, uid: str) -> bool:
    last = sandbox.status.last_loss
    return last is not None and last.pod_uid == uid


def _was_rejected(pod: Pod) -> bool:
    return pod.reason == _EVICTED and pod.message.startswith(_REJECTED_UNDER_PRESSURE)


def _loss(reason: LossReason, message: str, uid: str, now: datetime, *, kept: bool | None, was_ready: bool) -> Loss:
    return Loss(
        time=times.rfc3339(now),
        reason=reason,
        message=tail(message, _MESSAGE_CHARACTERS),
        workspace="Kept" if kept else "Lost" if kept is False and was_ready else "",
        podUID=uid,
    )
