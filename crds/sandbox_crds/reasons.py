"""Every reason that a sandbox's `Ready` condition can have, and what it means to clients of the Runtime API.

This table is the only place where it is written down: the operator takes reasons from it, the gateway translates
through it, tests and docs read it.
"""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Literal

Lifecycle = Literal["starting", "running", "paused", "error"]
PodStatus = Literal["ready", "pending", "not found", "failed"]


class Reason(StrEnum):
    """Reason of the condition `Ready`."""

    READY = "Ready"
    PENDING = "Pending"
    UNSCHEDULABLE = "Unschedulable"
    STARTING = "Starting"
    IMAGE_PULL_BACK_OFF = "ImagePullBackOff"
    INVALID_IMAGE_NAME = "InvalidImageName"
    CREATE_CONTAINER_ERROR = "CreateContainerError"
    CONTAINER_RESTARTING = "ContainerRestarting"
    CRASH_LOOP_BACK_OFF = "CrashLoopBackOff"
    OOM_KILLED = "OOMKilled"
    NOT_RESPONDING = "NotResponding"
    NODE_LOST = "NodeLost"
    VOLUME_NOT_BOUND = "VolumeNotBound"
    EVICTED = "Evicted"
    POD_FAILED = "PodFailed"
    POD_TERMINATING = "PodTerminating"
    POD_REFUSED = "PodRefused"
    QUOTA_EXCEEDED = "QuotaExceeded"
    SANDBOX_CLASS_NOT_FOUND = "SandboxClassNotFound"
    SUSPENDING = "Suspending"
    SUSPENDED = "Suspended"
    IDLE = "Idle"
    START_TIMEOUT = "StartTimeout"


class ExpiryReason(StrEnum):
    """Reason of the condition `Expiring`, which announces that the sandbox will be deleted."""

    MAXIMUM_LIFE = "MaximumLife"
    SUSPENDED_TOO_LONG = "SuspendedTooLong"
    NEVER_READY = "NeverReady"


@dataclass(frozen=True, slots=True)
class Meaning:
    """How a reason looks from outside.

    A `failed` pod status ends a client's start for good, so a reason that can still pass has `fatal_after`: how long
    it must have lasted before it is told as `error` and `failed`. Until then it is `starting` and `pending`.
    """

    text: str
    lifecycle: Lifecycle
    pod_status: PodStatus
    fatal_after: timedelta | None = None
    remedy: str = ""


_GRACE = timedelta(seconds=10)
"""Two attempts of the kubelet: it tries again 10 s after the first failure."""

MEANINGS: dict[Reason, Meaning] = {
    Reason.READY: Meaning("The agent server answers.", "running", "ready"),
    Reason.PENDING: Meaning("The pod is about to be made.", "starting", "pending"),
    Reason.UNSCHEDULABLE: Meaning("No node has room for the pod, or none fits it.", "starting", "pending"),
    Reason.STARTING: Meaning("The pod has a node: image pull, then boot.", "starting", "pending"),
    Reason.IMAGE_PULL_BACK_OFF: Meaning("The image cannot be pulled.", "starting", "pending", _GRACE),
    Reason.INVALID_IMAGE_NAME: Meaning("The image reference is malformed.", "error", "failed"),
    Reason.CREATE_CONTAINER_ERROR: Meaning(
        "The container cannot be made: a missing Secret or ConfigMap, volume or runtime handler.",
        "starting",
        "pending",
        2 * _GRACE,
    ),
    Reason.CONTAINER_RESTARTING: Meaning("The agent server ended and is started again.", "starting", "pending"),
    Reason.CRASH_LOOP_BACK_OFF: Meaning("The agent server ends again and again.", "error", "failed"),
    Reason.OOM_KILLED: Meaning("The agent server runs out of memory again and again.", "error", "failed"),
    Reason.NOT_RESPONDING: Meaning("The agent server runs and has stopped answering.", "starting", "pending"),
    Reason.NODE_LOST: Meaning("The pod's node does not report.", "starting", "pending"),
    Reason.VOLUME_NOT_BOUND: Meaning("The workspace's volume is not there.", "starting", "pending", 6 * _GRACE),
    Reason.EVICTED: Meaning("The node has evicted the pod; a new one follows.", "starting", "pending"),
    Reason.POD_FAILED: Meaning("The pod was ended by its node; a new one follows.", "starting", "pending"),
    Reason.POD_TERMINATING: Meaning("The old pod ends; a new one follows.", "starting", "pending"),
    Reason.POD_REFUSED: Meaning("The cluster refuses the pod.", "error", "failed"),
    Reason.QUOTA_EXCEEDED: Meaning("A ResourceQuota leaves no room for the pod.", "starting", "pending"),
    Reason.SANDBOX_CLASS_NOT_FOUND: Meaning("The SandboxClass does not exist.", "error", "failed"),
    Reason.SUSPENDING: Meaning("The pod ends, since the sandbox is suspended.", "paused", "not found"),
    Reason.SUSPENDED: Meaning("There is no pod, since the sandbox is suspended.", "paused", "not found"),
    Reason.IDLE: Meaning("There is no pod, since the sandbox was idle. A request wakes it.", "paused", "not found"),
    Reason.START_TIMEOUT: Meaning(
        "There is no pod, since it did not become ready in time.", "paused", "not found", remedy="Resume it."
    ),
}

SUSPENSIONS: dict[str, Reason] = {
    "": Reason.SUSPENDED,
    "Requested": Reason.SUSPENDED,
    "Idle": Reason.IDLE,
    "StartTimeout": Reason.START_TIMEOUT,
}
"""From a Sandbox's `suspendReason` to the reason of its condition once the pod is gone."""
