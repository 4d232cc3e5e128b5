"""Sandboxes, classes and pods to decide about."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sandbox_common.keys import MasterKeys
from sandbox_common.reasons import MEANINGS, STALLED, SUSPENSIONS, Reason
from sandbox_common.remedies import with_remedy
from sandbox_common.times import rfc3339
from sandbox_crds.models import Condition, Sandbox, SandboxClass, SandboxStatus
from sandbox_crds.names import pod_name
from sandbox_operator.watching.pod_expectations import PodExpectations
from sandbox_operator.watching.pods import Container, Pod, PodCondition, Run

KEYS = MasterKeys.of({1: b"m" * 32})
UID = "6a1f0000-0000-4000-8000-000000000001"
BEFORE = "6a1f0000-0000-4000-8000-000000000000"
"""UID of the Sandbox before it was restored."""
KEY_ID = KEYS.key_id(UID)
VOLUME = "one-abcdefgh"
"""Name of a volume claim."""
POD_UID = "6a1f0000-0000-4000-8000-000000000002"
IMAGE = "registry.example/agent-server:1"
NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
"""When the pod was made; the Sandbox is as old."""
SOON = NOW + timedelta(seconds=0.5)
LATER = NOW + timedelta(seconds=30)


async def at_home(*_: str) -> str:
    """As `PodIdentities.denial`: each pod has its address."""
    return ""


_OF_READY_PODS = {Reason.READY, Reason.SUSPENDING, Reason.POD_TERMINATING, Reason.EVICTED, Reason.NODE_LOST} | {
    Reason.TERMINATING
}


def sandbox(
    *, status: SandboxStatus | None = None, deleted: bool = False, generation: int = 1, note: str = "", **spec: Any
) -> Sandbox:
    """The Sandbox `one`, without a Service unless `spec` says otherwise. `note` is why the operator suspended it."""
    metadata: dict[str, Any] = {
        "name": "one",
        "namespace": "here",
        "uid": UID,
        "generation": generation,
        "resourceVersion": "7",
        "creationTimestamp": rfc3339(NOW),
    }
    if note:
        metadata["annotations"] = {"sandbox.openhands.dev/suspend-note": note}
    if deleted:
        metadata["deletionTimestamp"] = rfc3339(NOW)
    body = {"metadata": metadata, "spec": {"image": IMAGE, "service": "None", **spec}}
    made = Sandbox.model_validate(body)
    return made.model_copy(update={"status": status}) if status else made


def class_(**spec: Any) -> SandboxClass:
    """The SandboxClass `default`."""
    return SandboxClass.model_validate({"metadata": {"name": "default"}, "spec": {"egress": "Internet", **spec}})


def status(reason: Reason, message: str = "", remedy: str = "", **fields: Any) -> SandboxStatus:
    """What was written when the sandbox's pod was `pod()`, which had been ready unless the reason is one of starts."""
    remedy = remedy or MEANINGS[reason].remedy
    condition = Condition(
        type="Ready",
        status="True" if reason is Reason.READY else "False",
        reason=reason,
        message=with_remedy(message, remedy),
        last_transition_time=rfc3339(NOW),
    )
    of_pod: dict[str, Any] = {
        "sandbox_uid": UID,
        "pod_name": pod_name("one", UID),
        "pod_uid": POD_UID,
        "start_time": rfc3339(NOW),
        "launch": "Cold",
        "key_id": KEY_ID,
        "observed_generation": 1,
        "remedy": remedy,
    }
    if reason in _OF_READY_PODS:
        of_pod |= {"pod_ip": "10.244.0.7", "ready_time": rfc3339(SOON), "first_ready_time": rfc3339(SOON)}
    else:
        of_pod["starting_since"] = rfc3339(NOW)
    stalled = [condition.model_copy(update={"type": "Stalled", "status": "True"})] if reason in STALLED else []
    return SandboxStatus.model_validate({**of_pod, "conditions": [condition, *stalled], **fields})


def pod(**fields: Any) -> Pod:
    """A pod that has just been made and waits for a node."""
    made = Pod(
        name=pod_name("one", UID),
        uid=POD_UID,
        owner_uid=UID,
        created=NOW,
        image=IMAGE,
        phase="Pending",
        resource_version="1",
    )
    return replace(made, **fields)


def expectations() -> PodExpectations[Pod]:
    """None, beside a cache that has seen nothing."""
    return PodExpectations(lambda: 0)


def condition(status: bool, reason: str = "", message: str = "", since: datetime = NOW) -> PodCondition:
    return PodCondition(status, reason, message, since)


def container(**fields: Any) -> Container:
    """A container that is being made."""
    made = Container(
        ready=False,
        restarts=0,
        waiting_reason="ContainerCreating",
        waiting_message="",
        running_since=None,
        last_run=None,
    )
    return replace(made, **fields)


def waits(reason: str, message: str = "", **fields: Any) -> Pod:
    """A pod on a node whose container waits for this reason."""
    return on_node(container(waiting_reason=reason, waiting_message=message, **fields))


def runs(since: datetime = NOW, **fields: Any) -> Pod:
    """A pod on a node whose container runs."""
    return on_node(container(waiting_reason="", running_since=since, **fields))


def on_node(container: Container, **fields: Any) -> Pod:
    bound = {"node": "node-1", "scheduled": condition(True), "ready": condition(False), "container": container}
    return pod(**{**bound, **fields})


def ready(**fields: Any) -> Pod:
    """A pod whose agent server answers."""
    answering = container(waiting_reason="", running_since=NOW, ready=True)
    return on_node(
        answering, **{"phase": "Running", "ip": "10.244.0.7", "ready": condition(True, since=SOON), **fields}
    )


def podless(reason: Reason, message: str = "", **fields: Any) -> SandboxStatus:
    """What was written when there was no pod."""
    of_reason = status(reason, message)
    since = "" if reason in SUSPENSIONS.values() else rfc3339(NOW)
    return SandboxStatus.model_validate(
        {
            "conditions": of_reason.conditions,
            "remedy": of_reason.remedy,
            "key_id": KEY_ID,
            "observed_generation": 1,
            "starting_since": since,
            **fields,
        }
    )


def run(exit_code: int, reason: str = "Error", message: str = "", seconds: float = 1) -> Run:
    return Run(exit_code, reason, message, seconds)
