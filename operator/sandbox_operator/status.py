"""The next status of a Sandbox, and the smallest patch that leads to it."""

from datetime import datetime
from typing import Any

from sandbox_crds.models import Condition, Sandbox, SandboxStatus
from sandbox_crds.reasons import Reason
from sandbox_operator import times
from sandbox_operator.findings import Finding
from sandbox_operator.pods import Pod

READY = "Ready"
"""Type of the condition that sums up a sandbox."""

_MESSAGE_CHARACTERS = 2048


def reports(status: SandboxStatus, pod: Pod) -> bool:
    """Whether this status was written about this pod, and not about an earlier one of the same name."""
    return status.pod_uid == pod.uid


def next_status(sandbox: Sandbox, pod: Pod | None, finding: Finding, key_id: str, now: datetime) -> SandboxStatus:
    """The whole status. Conditions of other types stay as they are."""
    old = sandbox.status
    others = [condition for condition in old.conditions if condition.type != READY]
    update: dict[str, Any] = {
        "observed_generation": sandbox.metadata.generation,
        "conditions": [_condition(old.condition(READY), finding, now), *others],
        "key_id": key_id,
        **(_of_pod(old, pod) if pod else _WITHOUT_POD),
    }
    return old.model_copy(update=update)


def patch(old: SandboxStatus, new: SandboxStatus) -> dict[str, Any]:
    """A JSON merge patch of the status; empty when there is nothing to write."""
    before, after = old.model_dump(by_alias=True), new.model_dump(by_alias=True)
    return {name: value for name, value in after.items() if value != before[name]}


_WITHOUT_POD: dict[str, Any] = {
    "pod_name": "",
    "pod_uid": "",
    "pod_ip": "",
    "restart_count": 0,
    "start_time": "",
    "ready_time": "",
}


def _of_pod(old: SandboxStatus, pod: Pod) -> dict[str, Any]:
    same = reports(old, pod)
    launch = old.launch if same else "Resume" if old.launch else "Cold"
    ready_time = old.ready_time if same else ""
    if pod.is_ready and not ready_time and pod.ready and pod.ready.since:
        ready_time = times.rfc3339(pod.ready.since)
    return {
        "pod_name": pod.name,
        "pod_uid": pod.uid,
        # Told from the first readiness on: an address by itself is not worth a write.
        "pod_ip": pod.ip if pod.is_ready or (same and old.pod_ip == pod.ip) else "",
        "launch": launch,
        "restart_count": pod.container.restarts if pod.container else 0,
        "start_time": times.rfc3339(pod.created),
        "ready_time": ready_time,
    }


def _condition(old: Condition | None, finding: Finding, now: datetime) -> Condition:
    status = "True" if finding.reason is Reason.READY else "False"
    unchanged = old is not None and old.status == status and old.reason == finding.reason
    return Condition(
        type=READY,
        status=status,
        reason=finding.reason,
        message=finding.message[:_MESSAGE_CHARACTERS],
        last_transition_time=old.last_transition_time if old and unchanged else times.rfc3339(now),
    )
