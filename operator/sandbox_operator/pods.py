"""A pod, reduced to what decisions about its sandbox are made of."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sandbox_crds.kube import KubeObject
from sandbox_operator import times

CONTAINER = "agent-server"
"""Name of the container with the agent server; others may have been injected beside it."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the container that has ended."""

    exit_code: int
    reason: str
    message: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Container:
    """The agent server's container as the kubelet last reported it."""

    ready: bool
    restarts: int
    waiting_reason: str
    waiting_message: str
    running_since: datetime | None
    last_run: Run | None


@dataclass(frozen=True, slots=True)
class PodCondition:
    """One of the pod's conditions."""

    status: bool
    reason: str
    message: str
    since: datetime | None


@dataclass(frozen=True, slots=True)
class Pod:
    """`deletion_requested` is when somebody deleted the pod; it then ends within its grace period."""

    name: str
    uid: str
    owner_uid: str
    created: datetime
    image: str
    deletion_requested: datetime | None = None
    phase: str = "Pending"
    reason: str = ""
    message: str = ""
    ip: str = ""
    node: str = ""
    scheduled: PodCondition | None = None
    ready: PodCondition | None = None
    container: Container | None = None

    @property
    def is_ready(self) -> bool:
        """Whether the readiness probe is answered."""
        return self.ready is not None and self.ready.status

    @property
    def is_finished(self) -> bool:
        """Whether no container of it runs ever again."""
        return self.phase in {"Failed", "Succeeded"}


def decode(item: KubeObject) -> Pod:
    """A pod of the API server. Raises ValueError when it has not the form of one."""
    try:
        return _decode(item)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a pod: {error!r}") from error


def _decode(item: KubeObject) -> Pod:
    metadata, spec, status = _part(item, "metadata"), _part(item, "spec"), _part(item, "status")
    containers: list[dict[str, Any]] = spec["containers"]
    conditions = {condition["type"]: condition for condition in _parts(status, "conditions")}
    reported = next((part for part in _parts(status, "containerStatuses") if part["name"] == CONTAINER), None)
    return Pod(
        name=metadata["name"],
        uid=metadata["uid"],
        owner_uid=controller_uid(item),
        created=times.parse(metadata["creationTimestamp"]),
        image=next((part["image"] for part in containers if part["name"] == CONTAINER), ""),
        deletion_requested=_deletion_requested(metadata),
        phase=status.get("phase", ""),
        reason=status.get("reason", ""),
        message=status.get("message", ""),
        ip=status.get("podIP", ""),
        node=spec.get("nodeName", ""),
        scheduled=_condition(conditions.get("PodScheduled")),
        ready=_condition(conditions.get("Ready")),
        container=_container(reported) if reported else None,
    )


def controller_uid(item: KubeObject) -> str:
    """UID of the controller that owns an object, or ""."""
    owners = _parts(_part(item, "metadata"), "ownerReferences")
    return next((owner["uid"] for owner in owners if owner.get("controller")), "")


def _deletion_requested(metadata: dict[str, Any]) -> datetime | None:
    end = _time(metadata, "deletionTimestamp")
    # The API server puts the end of the grace period there.
    return end and end - timedelta(seconds=metadata.get("deletionGracePeriodSeconds") or 0)


def _condition(condition: dict[str, Any] | None) -> PodCondition | None:
    if condition is None:
        return None
    return PodCondition(
        status=condition["status"] == "True",
        reason=condition.get("reason", ""),
        message=condition.get("message", ""),
        since=_time(condition, "lastTransitionTime"),
    )


def _container(status: dict[str, Any]) -> Container:
    state, last = _part(status, "state"), _part(status, "lastState")
    waiting = _part(state, "waiting")
    ended = _part(state, "terminated") or _part(last, "terminated")
    return Container(
        ready=bool(status.get("ready")),
        restarts=status.get("restartCount", 0),
        waiting_reason=waiting.get("reason", ""),
        waiting_message=waiting.get("message", ""),
        running_since=_time(_part(state, "running"), "startedAt"),
        last_run=_run(ended) if ended else None,
    )


def _run(ended: dict[str, Any]) -> Run:
    start, end = _time(ended, "startedAt"), _time(ended, "finishedAt")
    return Run(
        exit_code=ended.get("exitCode", 0),
        reason=ended.get("reason", ""),
        message=ended.get("message", ""),
        seconds=(end - start).total_seconds() if start and end else 0.0,
    )


def _part(item: dict[str, Any], name: str) -> dict[str, Any]:
    return item.get(name) or {}


def _parts(item: dict[str, Any], name: str) -> list[dict[str, Any]]:
    return item.get(name) or []


def _time(item: dict[str, Any], name: str) -> datetime | None:
    text = item.get(name)
    return times.parse(text) if text else None
