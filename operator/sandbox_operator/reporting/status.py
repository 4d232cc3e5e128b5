"""The next status of a Sandbox."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sandbox_common import reasons, times
from sandbox_common.reasons import MEANINGS, SUSPENSIONS, Reason
from sandbox_common.remedies import with_remedy
from sandbox_crds.models import Condition, Launch, Sandbox, SandboxStatus
from sandbox_operator.reporting.conditions import EXPIRING, READY, STALLED, condition
from sandbox_operator.reporting.finality import IMAGE_TROUBLES
from sandbox_operator.reporting.findings import Finding, restart_log, restart_reason
from sandbox_operator.watching.pods import Pod

WRITTEN_ALONG = frozenset({"sandboxUID", "volumeClaim"})
"""Fields that an earlier version did not write. They are written with others; alone they are not worth a write."""

_PAUSED = frozenset({Reason.SUSPENDING, Reason.TERMINATING, *SUSPENSIONS.values()})
_STARTS_AGAIN = frozenset(
    {
        Reason.CRASH_LOOP_BACK_OFF,
        Reason.OOM_KILLED,
        *IMAGE_TROUBLES,
        Reason.INVALID_IMAGE_NAME,
        Reason.CREATE_CONTAINER_ERROR,
        Reason.COMMAND_CANNOT_RUN,
        Reason.AGENT_SERVER_UNUSABLE,
        Reason.IMAGE_VOLUMES_UNSUPPORTED,
        Reason.IMAGE_USER_REFUSED,
    }
)
"""Reasons that mean a new start, even if the pod has been ready: its container is made again."""


def reports(status: SandboxStatus, pod: Pod) -> bool:
    """Whether this status reports this pod, and not an earlier one of the same name."""
    return status.pod_uid == pod.uid


def is_restored(sandbox: Sandbox) -> bool:
    """Whether the status is of an earlier Sandbox: this one was made from a backup, and has another UID."""
    return sandbox.status.sandbox_uid not in {"", sandbox.metadata.uid}


def taken_over(sandbox: Sandbox) -> SandboxStatus:
    """The status of a restored Sandbox, once it has all that was the earlier one's. Its start begins now."""
    conditions = [condition for condition in sandbox.status.conditions if condition.type != EXPIRING]
    update = {"sandbox_uid": sandbox.metadata.uid, "starting_since": "", "conditions": conditions}
    return sandbox.status.model_copy(update=update)


def launch_of(status: SandboxStatus, pod: Pod) -> Launch:
    """How this pod was made, for a sandbox that has this status."""
    if reports(status, pod):
        return status.launch
    return "Warm" if pod.pool else "Resume" if status.first_ready_time else "Cold"


def may_have_been_suspended(sandbox: Sandbox) -> bool:
    """Whether there may have been a suspension since the status was written. Each one takes two changes of the spec."""
    # The creation is generation 1.
    return sandbox.metadata.generation - max(sandbox.status.observed_generation, 1) >= 2


def next_status(
    sandbox: Sandbox, pod: Pod | None, finding: Finding, key_id: str, now: datetime, pool_miss: str = ""
) -> SandboxStatus:
    """The whole status without the condition `Expiring`. Conditions of other types stay unchanged."""
    old = sandbox.status
    others = [condition for condition in old.conditions if condition.type not in {READY, EXPIRING, STALLED}]
    of_pod = _of_pod(old, pod) if pod else _WITHOUT_POD
    message, words = _words(old, pod, finding)
    starts = finding.reason in _STARTS_AGAIN or (finding.reason not in _PAUSED and not of_pod["ready_time"])
    generation = sandbox.metadata.generation
    ready = condition(
        READY,
        _same_suspension(sandbox, finding),
        holds=finding.reason is Reason.READY,
        reason=finding.reason,
        message=message,
        generation=generation,
        now=now,
    )
    stalled = condition(
        STALLED,
        old.condition(STALLED),
        holds=True,
        reason=finding.reason,
        message=message,
        generation=generation,
        now=now,
    )
    update: dict[str, Any] = {
        "observed_generation": generation,
        "conditions": [ready, *([stalled] if finding.reason in reasons.STALLED else []), *others],
        "key_id": key_id,
        "sandbox_uid": old.sandbox_uid or sandbox.metadata.uid,
        "volume_claim": old.volume_claim or (pod.volume_claim if pod else ""),
        "pool_miss": old.pool_miss or pool_miss,
        "first_ready_time": old.first_ready_time or of_pod["ready_time"],
        "starting_since": _starting_since(sandbox, finding, now) if starts else "",
        **of_pod,
        **words,
        "log": finding.log or of_pod["log"],
        # That it is over is not worth a write.
        "pull": finding.pull or (old.pull if pod and reports(old, pod) and finding.reason is Reason.STARTING else None),
    }
    return old.model_copy(update=update)


def with_expiring(status: SandboxStatus, expiring: Condition | None) -> SandboxStatus:
    """The same status with the condition `Expiring`, if there is one."""
    conditions = [*status.conditions[:1], *([expiring] if expiring else []), *status.conditions[1:]]
    return status.model_copy(update={"conditions": conditions})


def _words(old: SandboxStatus, pod: Pod | None, finding: Finding) -> tuple[str, dict[str, Any]]:
    """The message, and its parts that the status has as data; no parts if the message stays the same."""
    before = old.condition(READY)
    remedy = finding.remedy or MEANINGS[finding.reason].remedy
    message = with_remedy(finding.message, remedy)
    if before and (finding.stands or message == before.message):
        # An earlier version may not have written the parts. That is not worth a write.
        return before.message, {}
    return message, {"remedy": remedy, "workspace_kept": pod.keeps_workspace if pod else finding.workspace_kept}


_WITHOUT_POD: dict[str, Any] = {
    "pod_name": "",
    "pod_uid": "",
    "pod_ip": "",
    "ports": {},
    "pool": "",
    "restart_count": 0,
    "restart_reason": "",
    "log": "",
    "start_time": "",
    "ready_time": "",
}


def _of_pod(old: SandboxStatus, pod: Pod) -> dict[str, Any]:
    same = reports(old, pod)
    ready_time = old.ready_time if same else ""
    if pod.is_ready and not ready_time and pod.ready and pod.ready.since:
        # The pod's readiness before the claim does not count for this sandbox. The node's clock may be late.
        ready_time = times.rfc3339(max(pod.ready.since, pod.claimed or pod.created))
    # The message about a restart may change later, which is not worth a write.
    is_reported = same and pod.restarts == old.restart_count
    return {
        "pod_name": pod.name,
        "pod_uid": pod.uid,
        # Reported from the first readiness on: an address alone is not worth a write.
        "pod_ip": pod.ip if pod.is_ready or (same and old.pod_ip == pod.ip) else "",
        "ports": _ports(old, pod),
        "launch": launch_of(old, pod),
        "pool": pod.pool,
        "restart_count": pod.restarts,
        "restart_reason": old.restart_reason if is_reported else restart_reason(pod),
        "log": old.log if is_reported else restart_log(pod),
        "start_time": times.rfc3339(pod.created),
        "ready_time": ready_time,
        # That of a pod which an earlier version has reported is not worth a write.
        "workspace_kept": old.workspace_kept if same else pod.keeps_workspace,
    }


def _ports(old: SandboxStatus, pod: Pod) -> Mapping[str, int]:
    """The pod's ports. The same object as before if nothing has changed."""
    ports = dict(pod.ports)
    return old.ports if ports == old.ports else ports


def _starting_since(sandbox: Sandbox, finding: Finding, now: datetime) -> str:
    old = sandbox.status
    before = old.condition(READY)
    # The time in the queue does not count as part of the start.
    left_queue = before is not None and before.reason == Reason.QUEUED and finding.reason is not Reason.QUEUED
    if may_have_been_suspended(sandbox) or left_queue:
        return times.rfc3339(now)
    first = sandbox.metadata.creation_timestamp if not old.observed_generation else times.rfc3339(now)
    return old.starting_since or first


def _same_suspension(sandbox: Sandbox, finding: Finding) -> Condition | None:
    """The old condition; None if it reports an earlier suspension, so that the new one's time starts again."""
    anew = finding.reason in SUSPENSIONS.values() and may_have_been_suspended(sandbox)
    return None if anew else sandbox.status.condition(READY)
