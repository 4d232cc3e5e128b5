"""Every reason that a condition of ours can have, and what a sandbox's mean to clients of the Runtime API.

This is the only place where it is written down: the operator takes reasons from it, the gateway translates
through it, tests and docs read it.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

Lifecycle = Literal["starting", "running", "paused", "error"]
PodStatus = Literal["ready", "pending", "not found", "failed"]


class Reason(StrEnum):
    """Reason of the condition `Ready`."""

    READY = "Ready"
    PENDING = "Pending"
    QUEUED = "Queued"
    LIMIT_REACHED = "LimitReached"
    UNSCHEDULABLE = "Unschedulable"
    STARTING = "Starting"
    IMAGE_PULL_BACK_OFF = "ImagePullBackOff"
    IMAGE_NOT_FOUND = "ImageNotFound"
    IMAGE_PULL_DENIED = "ImagePullDenied"
    INVALID_IMAGE_NAME = "InvalidImageName"
    CREATE_CONTAINER_ERROR = "CreateContainerError"
    RUNTIME_HANDLER_NOT_FOUND = "RuntimeHandlerNotFound"
    COMMAND_CANNOT_RUN = "CommandCannotRun"
    CONTAINER_RESTARTING = "ContainerRestarting"
    CRASH_LOOP_BACK_OFF = "CrashLoopBackOff"
    OOM_KILLED = "OOMKilled"
    NOT_RESPONDING = "NotResponding"
    POD_NOT_READY = "PodNotReady"
    NODE_LOST = "NodeLost"
    VOLUME_NOT_BOUND = "VolumeNotBound"
    STORAGE_CLASS_NOT_FOUND = "StorageClassNotFound"
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
    TERMINATING = "Terminating"


class ExpiryReason(StrEnum):
    """Reason of the condition `Expiring`, which announces that the sandbox will be deleted."""

    MAXIMUM_LIFE = "MaximumLife"
    SUSPENDED_TOO_LONG = "SuspendedTooLong"
    NEVER_READY = "NeverReady"


class PoolReason(StrEnum):
    """Reason of the condition `Ready` of a SandboxPool."""

    FILLED = "Filled"
    FILLING = "Filling"
    PODS_FAILING = "PodsFailing"
    UNSCHEDULABLE = "Unschedulable"
    POD_REFUSED = "PodRefused"
    QUOTA_EXCEEDED = "QuotaExceeded"
    SANDBOX_CLASS_NOT_FOUND = "SandboxClassNotFound"
    PERSISTENT_WORKSPACE = "PersistentWorkspace"


@dataclass(frozen=True, slots=True)
class Meaning:
    """How a reason looks from outside.

    A `failed` pod status ends a client's start for good. So `error` and `failed` are only for what repetition cannot
    mend. What Kubernetes or the operator goes on trying is `passing`: it is reported as `starting` and `pending` with
    its cause until the start has lasted the sandbox's `pendingTimeoutSeconds`, and then as `error` and `failed`.
    `reachable`: the pod is there and has been ready, so its address is still the agent server's, and may answer.
    `remedy` is what a person can do, as one or more sentences; "" when there is nothing to do but wait.
    """

    text: str
    lifecycle: Lifecycle
    pod_status: PodStatus
    remedy: str = ""
    passing: bool = False
    reachable: bool = False


_RAISE_LIMIT = "`kubectl ohsb keys set` raises a limit of an API key."

_RESUME = "Resume it: POST /resume, or set spec.suspend to false."

MEANINGS: dict[Reason, Meaning] = {
    Reason.READY: Meaning("The agent server answers.", "running", "ready"),
    Reason.PENDING: Meaning("The pod is about to be made.", "starting", "pending"),
    Reason.QUEUED: Meaning(
        "A limit of its owner leaves no room at the moment. It starts in its turn, in the order of asking.",
        "starting",
        "pending",
        passing=True,
        remedy=f"Pause or stop other sandboxes of this owner. {_RAISE_LIMIT}",
    ),
    Reason.LIMIT_REACHED: Meaning(
        "A limit of its owner leaves no room, and too many wait for some. It is asked for again every 15 s.",
        "error",
        "failed",
        remedy=f"Stop other sandboxes of this owner. {_RAISE_LIMIT}",
    ),
    Reason.UNSCHEDULABLE: Meaning(
        "The pod cannot be scheduled: no node has room for it, or none fits it.",
        "starting",
        "pending",
        passing=True,
        remedy="Add nodes, stop or pause other sandboxes, or lower resources.requests of the SandboxClass.",
    ),
    Reason.STARTING: Meaning("The pod has a node: image pull, then boot.", "starting", "pending"),
    Reason.IMAGE_PULL_BACK_OFF: Meaning(
        "The image cannot be pulled at the moment. The kubelet tries again after 10 s, 20 s, 40 s and so on.",
        "starting",
        "pending",
        passing=True,
        remedy="See whether the image's registry answers the nodes, and what it says.",
    ),
    Reason.IMAGE_NOT_FOUND: Meaning(
        "The image does not exist, or not for the platform of the node.",
        "error",
        "failed",
        remedy="Correct spec.image, or push the image.",
    ),
    Reason.IMAGE_PULL_DENIED: Meaning(
        "The registry, or the node's policy for images, refuses to give the image.",
        "error",
        "failed",
        remedy="Check spec.image. A private registry needs a Secret in pod.imagePullSecrets of the SandboxClass.",
    ),
    Reason.INVALID_IMAGE_NAME: Meaning(
        "The image reference is malformed.", "error", "failed", remedy="Correct spec.image."
    ),
    Reason.CREATE_CONTAINER_ERROR: Meaning(
        "The container cannot be made at the moment: a Secret or ConfigMap is missing, or a volume, the network or the "
        "container runtime is not ready. The kubelet tries again.",
        "starting",
        "pending",
        passing=True,
        remedy="If it lasts: make what the message names, take it out of the Sandbox or its SandboxClass, or see "
        "`kubectl describe node`.",
    ),
    Reason.RUNTIME_HANDLER_NOT_FOUND: Meaning(
        "The node has no runtime of the name that the RuntimeClass says.",
        "error",
        "failed",
        remedy="Configure the runtime on the nodes, or correct runtimeClasses of the SandboxClass.",
    ),
    Reason.COMMAND_CANNOT_RUN: Meaning(
        "The command is no program that the image can run.",
        "error",
        "failed",
        remedy="Correct spec.command or the image.",
    ),
    Reason.CONTAINER_RESTARTING: Meaning(
        "The agent server ended and is started again.",
        "starting",
        "pending",
        passing=True,
        remedy="If it ends again: raise resources.limits.memory of the SandboxClass if it ran out of memory, else read "
        "`kubectl logs --previous` of the pod.",
    ),
    Reason.CRASH_LOOP_BACK_OFF: Meaning(
        "The agent server ends again and again.",
        "error",
        "failed",
        remedy="Read `kubectl logs --previous` of the pod, and correct the image, the command or the environment.",
    ),
    Reason.OOM_KILLED: Meaning(
        "The agent server runs out of memory again and again.",
        "error",
        "failed",
        remedy="Start it with a larger resource_factor, or raise resources.limits.memory of the SandboxClass.",
    ),
    Reason.NOT_RESPONDING: Meaning(
        "The agent server runs and has stopped answering its readiness probe. Requests are still passed on to it.",
        "starting",
        "pending",
        passing=True,
        reachable=True,
        remedy="If it lasts, read `kubectl logs` of the pod. `kubectl delete pod` replaces it.",
    ),
    Reason.POD_NOT_READY: Meaning(
        "The agent server answers, and another container of the pod does not.",
        "starting",
        "pending",
        passing=True,
        reachable=True,
        remedy="If it lasts, read `kubectl describe pod` and the log of the container that the message names.",
    ),
    Reason.NODE_LOST: Meaning(
        "The pod's node does not report.",
        "starting",
        "pending",
        passing=True,
        remedy=(
            "See `kubectl describe node`. Without a volume the pod is replaced after five minutes or so; with one, "
            "when the node is back, or gone for good and `kubectl delete node` says so."
        ),
    ),
    Reason.VOLUME_NOT_BOUND: Meaning(
        "The workspace's volume is not there.",
        "starting",
        "pending",
        passing=True,
        remedy="See `kubectl describe pvc` and `kubectl get storageclass`: workspace.storageClassName of the "
        "SandboxClass must name a StorageClass whose provisioner runs.",
    ),
    Reason.STORAGE_CLASS_NOT_FOUND: Meaning(
        "The StorageClass of the workspace's volume does not exist.",
        "error",
        "failed",
        remedy="Correct workspace.storageClassName of the SandboxClass, or make the StorageClass.",
    ),
    Reason.EVICTED: Meaning(
        "The pod was evicted; a new one follows.",
        "starting",
        "pending",
        passing=True,
        remedy="If it recurs, raise resources.requests of the SandboxClass, or give the nodes more room.",
    ),
    Reason.POD_FAILED: Meaning(
        "The pod was ended by its node; a new one follows.",
        "starting",
        "pending",
        passing=True,
        remedy="If it recurs, see `kubectl describe node`.",
    ),
    Reason.POD_TERMINATING: Meaning("The old pod ends; a new one follows.", "starting", "pending"),
    Reason.TERMINATING: Meaning(
        "The Sandbox is deleted, and its finalizers keep the object. Its pod ends; to clients it is gone (404).",
        "error",
        "failed",
        remedy="Whoever set the finalizers must remove them. There is no way back; start another sandbox.",
    ),
    Reason.POD_REFUSED: Meaning(
        "The cluster refuses the pod.",
        "error",
        "failed",
        remedy="Change what the message names in the Sandbox, its SandboxClass or the namespace's policy.",
    ),
    Reason.QUOTA_EXCEEDED: Meaning(
        "A ResourceQuota leaves no room for the pod.",
        "starting",
        "pending",
        passing=True,
        remedy="Stop or pause other sandboxes, or raise the ResourceQuota: `kubectl describe resourcequota`.",
    ),
    Reason.SANDBOX_CLASS_NOT_FOUND: Meaning(
        "The SandboxClass does not exist.",
        "error",
        "failed",
        remedy="Make it, or start the sandbox with one of `kubectl get sandboxclasses`.",
    ),
    Reason.SUSPENDING: Meaning("The pod ends, since the sandbox is suspended.", "paused", "not found"),
    Reason.SUSPENDED: Meaning(
        "There is no pod, since the sandbox is suspended.", "paused", "not found", remedy=_RESUME
    ),
    Reason.IDLE: Meaning(
        "There is no pod, since the sandbox was idle. A request wakes it.", "paused", "not found", remedy=_RESUME
    ),
    Reason.START_TIMEOUT: Meaning(
        "There is no pod, since it did not become ready in time.", "paused", "not found", remedy=_RESUME
    ),
}

SUSPENSIONS: dict[str, Reason] = {
    "": Reason.SUSPENDED,
    "Requested": Reason.SUSPENDED,
    "Idle": Reason.IDLE,
    "StartTimeout": Reason.START_TIMEOUT,
}
"""From a Sandbox's `suspendReason` to the reason of its condition once the pod is gone."""


@dataclass(frozen=True, slots=True)
class Expiry:
    """Why a sandbox will be deleted, and what keeps it; `remedy` is empty when nothing does."""

    text: str
    remedy: str = ""


EXPIRIES: dict[ExpiryReason, Expiry] = {
    ExpiryReason.MAXIMUM_LIFE: Expiry(
        "It reaches the age that maximumLifeSeconds allows, counted from its creation, time suspended included.",
        "Raise spec.maximumLifeSeconds of the Sandbox.",
    ),
    ExpiryReason.SUSPENDED_TOO_LONG: Expiry(
        "It has been suspended for as long as maximumSuspendedSeconds of its SandboxClass allows.", _RESUME
    ),
    ExpiryReason.NEVER_READY: Expiry(
        "It has never been ready, for as long as progressDeadlineSeconds of its SandboxClass allows.",
        "See the condition Ready for what it lacks.",
    ),
}


@dataclass(frozen=True, slots=True)
class PoolMeaning:
    """What the operator does with the pool meanwhile, and what a person can do; "" when there is nothing to do."""

    text: str
    remedy: str = ""


POOL_MEANINGS: dict[PoolReason, PoolMeaning] = {
    PoolReason.FILLED: PoolMeaning("All free pods are there and ready."),
    PoolReason.FILLING: PoolMeaning(
        "Pods are being made, or replaced since the pool, its SandboxClass or their node has changed."
    ),
    PoolReason.PODS_FAILING: PoolMeaning(
        "Pods do not become ready; the message says why. One is tried anew every 10 s to 5 min.",
        "Correct the SandboxPool or its SandboxClass. The pods: `kubectl get pods -l sandbox.openhands.dev/pool`.",
    ),
    PoolReason.UNSCHEDULABLE: PoolMeaning(
        "No node has room for more pods, or none fits them. A few wait, the rest is not made.",
        "Add nodes, make the pool smaller, or lower resources.requests of the SandboxClass.",
    ),
    PoolReason.POD_REFUSED: PoolMeaning(
        "The cluster refuses the pods. One is tried anew every 10 s to 1 min.",
        "Change what the message names in the SandboxPool, its SandboxClass or the namespace's policy.",
    ),
    PoolReason.QUOTA_EXCEEDED: PoolMeaning(
        "A ResourceQuota leaves no room for more pods. One is tried anew every 10 s to 1 min.",
        "Make the pool smaller, stop or pause sandboxes, or raise the ResourceQuota: `kubectl describe resourcequota`.",
    ),
    PoolReason.SANDBOX_CLASS_NOT_FOUND: PoolMeaning(
        "The SandboxClass does not exist. Free pods stay as they are, and nobody can claim them.",
        "Make it, or set spec.className to one of `kubectl get sandboxclasses`.",
    ),
    PoolReason.PERSISTENT_WORKSPACE: PoolMeaning(
        "The SandboxClass gives each sandbox a volume of its own, so there can be no pods before the sandboxes.",
        "Set spec.className to a SandboxClass without workspace.persistent.",
    ),
}
