"""Every reason that a condition of the project can have, and what it means to clients of the Runtime API.

This is the only definition: the operator takes reasons from it, the gateway translates them with it, and tests and docs
read it.
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
    REGISTRY_UNAVAILABLE = "RegistryUnavailable"
    REGISTRY_RATE_LIMITED = "RegistryRateLimited"
    IMAGE_NOT_FOUND = "ImageNotFound"
    IMAGE_PULL_DENIED = "ImagePullDenied"
    PULL_CREDENTIALS_REFUSED = "PullCredentialsRefused"
    INVALID_IMAGE_NAME = "InvalidImageName"
    CREATE_CONTAINER_ERROR = "CreateContainerError"
    RUNTIME_HANDLER_NOT_FOUND = "RuntimeHandlerNotFound"
    COMMAND_CANNOT_RUN = "CommandCannotRun"
    AGENT_SERVER_UNUSABLE = "AgentServerUnusable"
    IMAGE_VOLUMES_UNSUPPORTED = "ImageVolumesUnsupported"
    IMAGE_USER_REFUSED = "ImageUserRefused"
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
    VOLUME_NOT_BOUND = "VolumeNotBound"


class ImagesReason(StrEnum):
    """Reason of the condition `Ready` of a SandboxImages."""

    KEPT = "Kept"
    PULLING = "Pulling"
    PULLS_FAILING = "PullsFailing"
    UNSCHEDULABLE = "Unschedulable"
    POD_REFUSED = "PodRefused"
    IMAGE_VOLUMES_UNSUPPORTED = "ImageVolumesUnsupported"
    QUOTA_EXCEEDED = "QuotaExceeded"
    NO_NODES = "NoNodes"
    NODES_UNKNOWN = "NodesUnknown"


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a reason means to clients.

    A `failed` pod status ends a client's start for good. So `error` and `failed` are only for failures that retries
    cannot repair. A failure that Kubernetes or the operator retries is `passing`: it is reported as `starting` and
    `pending` with its cause until the start has lasted the sandbox's `pendingTimeoutSeconds`, and then as `error` and
    `failed`. `reachable`: the pod exists and has been ready, so the agent server may still answer at its address.
    `remedy` says what a person can do, in one or more sentences; "" if there is nothing to do but wait.
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
        "Its owner has reached a limit. The sandbox waits in a queue and starts in its turn.",
        "starting",
        "pending",
        passing=True,
        remedy=f"Pause or stop other sandboxes of this owner. {_RAISE_LIMIT}",
    ),
    Reason.LIMIT_REACHED: Meaning(
        "Its owner has reached a limit, and too many sandboxes wait already. The operator tries again every 15 s.",
        "error",
        "failed",
        remedy=f"Stop other sandboxes of this owner. {_RAISE_LIMIT}",
    ),
    Reason.UNSCHEDULABLE: Meaning(
        "The pod cannot be scheduled: no node has room for it or matches its constraints.",
        "starting",
        "pending",
        passing=True,
        remedy="Add nodes, stop or pause other sandboxes, or lower resources.requests of the SandboxClass.",
    ),
    Reason.STARTING: Meaning("The pod has a node. The image is pulled, then it boots.", "starting", "pending"),
    Reason.IMAGE_PULL_BACK_OFF: Meaning(
        "The image cannot be pulled now. The kubelet tries again after 10 s, 20 s, 40 s and so on.",
        "starting",
        "pending",
        passing=True,
        remedy="Check whether the nodes can reach the image's registry, and what it answers.",
    ),
    Reason.REGISTRY_UNAVAILABLE: Meaning(
        "The image's registry does not answer, or has an error of its own. The kubelet tries again.",
        "starting",
        "pending",
        passing=True,
        remedy="If it lasts, check whether the registry works and whether the nodes can reach it.",
    ),
    Reason.REGISTRY_RATE_LIMITED: Meaning(
        "The image's registry allows no more pulls at the moment. The kubelet tries again.",
        "starting",
        "pending",
        passing=True,
        remedy="If it lasts, pull with credentials that allow more (a pull Secret), or use a mirror of the registry.",
    ),
    Reason.IMAGE_NOT_FOUND: Meaning(
        "The image does not exist, or does not support the node's platform.",
        "error",
        "failed",
        remedy="Correct spec.image, or push the image.",
    ),
    Reason.IMAGE_PULL_DENIED: Meaning(
        "The registry, or the node's image policy, refuses the image.",
        "error",
        "failed",
        remedy="Check spec.image. A private registry needs a Secret in pod.imagePullSecrets of the SandboxClass, or a "
        "pull Secret of the sandbox's owner. Then start the sandbox again.",
    ),
    Reason.PULL_CREDENTIALS_REFUSED: Meaning(
        "The registry refuses the user or the password with which the node pulls the image.",
        "error",
        "failed",
        remedy="Correct the Secret in pod.imagePullSecrets of the SandboxClass, or the pull Secret of the sandbox's "
        "owner. The kubelet then uses it at its next attempt.",
    ),
    Reason.INVALID_IMAGE_NAME: Meaning(
        "The image reference is malformed.", "error", "failed", remedy="Correct spec.image."
    ),
    Reason.CREATE_CONTAINER_ERROR: Meaning(
        "The container cannot be made now: a Secret or ConfigMap is missing, or a volume, the network or the container "
        "runtime is not ready. The kubelet tries again.",
        "starting",
        "pending",
        passing=True,
        remedy="If it lasts, create the object that the message names, remove it from the Sandbox or its SandboxClass, "
        "or see `kubectl describe node`.",
    ),
    Reason.RUNTIME_HANDLER_NOT_FOUND: Meaning(
        "The node does not have the runtime that the RuntimeClass names.",
        "error",
        "failed",
        remedy="Configure the runtime on the nodes, or correct runtimeClasses of the SandboxClass.",
    ),
    Reason.COMMAND_CANNOT_RUN: Meaning(
        "The image cannot run the command.",
        "error",
        "failed",
        remedy="Correct spec.command or the image.",
    ),
    Reason.AGENT_SERVER_UNUSABLE: Meaning(
        "The image that agentServer of the SandboxClass names has no agent server that can run in other images, or has "
        "it for another architecture; or the nodes do not support image volumes.",
        "error",
        "failed",
        remedy="Set agentServer.image of the SandboxClass to one that agent_server_image/Dockerfile builds, for the "
        "nodes' architecture. If it is one, set agentServer.delivery to Copy.",
    ),
    Reason.IMAGE_VOLUMES_UNSUPPORTED: Meaning(
        "The cluster does not support image volumes, and the SandboxClass delivers the agent server by one.",
        "error",
        "failed",
        remedy="Set agentServer.delivery of the SandboxClass to Copy, or upgrade to Kubernetes 1.35, with containerd "
        "2.1 or CRI-O 1.33 on all nodes.",
    ),
    Reason.IMAGE_USER_REFUSED: Meaning(
        "The SandboxClass leaves the user to the image (pod.omitIds), and the image runs as root or as a user without "
        "a number.",
        "error",
        "failed",
        remedy="Give the image a numeric USER other than 0, or unset pod.omitIds of the SandboxClass.",
    ),
    Reason.CONTAINER_RESTARTING: Meaning(
        "The agent server ended. The kubelet starts it again.",
        "starting",
        "pending",
        passing=True,
        remedy="If it ends again: if it ran out of memory, raise resources.limits.memory of the SandboxClass; "
        "otherwise read `kubectl logs --previous` of the pod.",
    ),
    Reason.CRASH_LOOP_BACK_OFF: Meaning(
        "The agent server crashes repeatedly.",
        "error",
        "failed",
        remedy="Read `kubectl logs --previous` of the pod, and correct the image, the command or the environment.",
    ),
    Reason.OOM_KILLED: Meaning(
        "The agent server runs out of memory repeatedly.",
        "error",
        "failed",
        remedy="Start it with a larger resource_factor, or raise resources.limits.memory of the SandboxClass.",
    ),
    Reason.NOT_RESPONDING: Meaning(
        "The agent server runs but does not answer its readiness probe. It still gets requests.",
        "starting",
        "pending",
        passing=True,
        reachable=True,
        remedy="If it lasts, read `kubectl logs` of the pod. `kubectl delete pod` replaces it.",
    ),
    Reason.POD_NOT_READY: Meaning(
        "The agent server answers, but another container of the pod does not.",
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
            "See `kubectl describe node`. A pod without a volume is replaced after about five minutes; one with a "
            "volume when the node is back, or when you delete the node with `kubectl delete node`."
        ),
    ),
    Reason.VOLUME_NOT_BOUND: Meaning(
        "The workspace's volume does not exist yet.",
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
        remedy="Correct workspace.storageClassName of the SandboxClass, or create the StorageClass.",
    ),
    Reason.EVICTED: Meaning(
        "The pod was evicted. The operator makes a new one.",
        "starting",
        "pending",
        passing=True,
        remedy="If it recurs, raise resources.requests of the SandboxClass, or give the nodes more room.",
    ),
    Reason.POD_FAILED: Meaning(
        "The node ended the pod. The operator makes a new one.",
        "starting",
        "pending",
        passing=True,
        remedy="If it recurs, see `kubectl describe node`.",
    ),
    Reason.POD_TERMINATING: Meaning("The old pod is ending. The operator then makes a new one.", "starting", "pending"),
    Reason.TERMINATING: Meaning(
        "The Sandbox was deleted, but finalizers keep the object. Its pod ends, and clients get 404.",
        "error",
        "failed",
        remedy="The controllers that set the finalizers must remove them. Start another sandbox instead of this one.",
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
        remedy="Create it, or start the sandbox with one of `kubectl get sandboxclasses`.",
    ),
    Reason.SUSPENDING: Meaning("The pod is ending because the sandbox is suspended.", "paused", "not found"),
    Reason.SUSPENDED: Meaning("The sandbox is suspended and has no pod.", "paused", "not found", remedy=_RESUME),
    Reason.IDLE: Meaning(
        "The sandbox was idle and has no pod. A request wakes it.", "paused", "not found", remedy=_RESUME
    ),
    Reason.START_TIMEOUT: Meaning(
        "The sandbox did not become ready in time and has no pod.", "paused", "not found", remedy=_RESUME
    ),
}

SUSPENSIONS: dict[str, Reason] = {
    "": Reason.SUSPENDED,
    "Requested": Reason.SUSPENDED,
    "Idle": Reason.IDLE,
    "StartTimeout": Reason.START_TIMEOUT,
}
"""From a Sandbox's `suspendReason` to the reason of its condition once the pod is gone."""

STALLED = frozenset(reason for reason, meaning in MEANINGS.items() if meaning.lifecycle == "error") - {
    Reason.TERMINATING
} | {Reason.START_TIMEOUT}
"""Reasons of sandboxes that do not become ready until somebody acts."""


@dataclass(frozen=True, slots=True)
class Expiry:
    """Why a sandbox will be deleted, and how to keep it; `remedy` is "" if there is no way."""

    text: str
    remedy: str = ""


EXPIRIES: dict[ExpiryReason, Expiry] = {
    ExpiryReason.MAXIMUM_LIFE: Expiry(
        "It reaches the age that maximumLifeSeconds allows, counted from its creation, including suspensions.",
        "Raise spec.maximumLifeSeconds of the Sandbox.",
    ),
    ExpiryReason.SUSPENDED_TOO_LONG: Expiry(
        "It has been suspended for as long as maximumSuspendedSeconds of its SandboxClass allows.", _RESUME
    ),
    ExpiryReason.NEVER_READY: Expiry(
        "It was not ready within progressDeadlineSeconds of its SandboxClass.",
        "The condition Ready says what it lacks.",
    ),
}


@dataclass(frozen=True, slots=True)
class PoolMeaning:
    """What the state of the pool is, and what a person can do; "" if there is nothing to do."""

    text: str
    remedy: str = ""


POOL_MEANINGS: dict[PoolReason, PoolMeaning] = {
    PoolReason.FILLED: PoolMeaning("All free pods exist and are ready."),
    PoolReason.FILLING: PoolMeaning(
        "The operator makes pods, or replaces them because the pool, its SandboxClass or their node has changed."
    ),
    PoolReason.PODS_FAILING: PoolMeaning(
        "Pods do not become ready; the message says why. The operator retries one every 10 s to 5 min.",
        "Correct the SandboxPool or its SandboxClass. The pods: `kubectl get pods -l sandbox.openhands.dev/pool`.",
    ),
    PoolReason.UNSCHEDULABLE: PoolMeaning(
        "No node has room for more pods or matches their constraints. A few pods wait; the operator makes no more.",
        "Add nodes, make the pool smaller, or lower resources.requests of the SandboxClass.",
    ),
    PoolReason.POD_REFUSED: PoolMeaning(
        "The cluster refuses the pods. The operator retries one every 10 s to 1 min.",
        "Change what the message names in the SandboxPool, its SandboxClass or the namespace's policy.",
    ),
    PoolReason.QUOTA_EXCEEDED: PoolMeaning(
        "A ResourceQuota leaves no room for more pods. The operator retries one every 10 s to 1 min.",
        "Make the pool smaller, stop or pause sandboxes, or raise the ResourceQuota: `kubectl describe resourcequota`.",
    ),
    PoolReason.SANDBOX_CLASS_NOT_FOUND: PoolMeaning(
        "The SandboxClass does not exist. Free pods stay, but sandboxes cannot claim them.",
        "Create it, or set spec.className to one of `kubectl get sandboxclasses`.",
    ),
    PoolReason.VOLUME_NOT_BOUND: PoolMeaning(
        "Free pods wait for their volumes. A few pods wait; the operator makes no more.",
        "See `kubectl describe pvc -l sandbox.openhands.dev/pool`. workspace.storageClassName of the SandboxClass must "
        "name a StorageClass whose provisioner runs and has room.",
    ),
}

IMAGES_MEANINGS: dict[ImagesReason, PoolMeaning] = {
    ImagesReason.KEPT: PoolMeaning("All images that are wanted now are on all nodes, and stay there."),
    ImagesReason.PULLING: PoolMeaning("Nodes pull images, or are about to."),
    ImagesReason.PULLS_FAILING: PoolMeaning(
        "Some images cannot be pulled; `status.failures` says which, and why. The others are kept or on their way. The "
        "operator tries each again after 30 s to 30 min.",
        "Correct the list, its imagePullSecrets or the registry. A change of the spec tries all of them at once.",
    ),
    ImagesReason.UNSCHEDULABLE: PoolMeaning(
        "A node has no room for another pod that keeps images.",
        "Stop other pods there, or choose other nodes by spec.nodeSelector.",
    ),
    ImagesReason.POD_REFUSED: PoolMeaning(
        "The cluster refuses the pods that keep images. The operator retries every 10 s to 1 min.",
        "Change what the message names in the SandboxImages or the namespace's policy.",
    ),
    ImagesReason.IMAGE_VOLUMES_UNSUPPORTED: PoolMeaning(
        "The cluster does not support image volumes, by which pods keep images without running them.",
        "Upgrade to Kubernetes 1.35, or delete the SandboxImages: sandboxes start without it.",
    ),
    ImagesReason.QUOTA_EXCEEDED: PoolMeaning(
        "A ResourceQuota leaves no room for more pods. The operator retries every 10 s to 1 min.",
        "Raise the ResourceQuota: `kubectl describe resourcequota`.",
    ),
    ImagesReason.NO_NODES: PoolMeaning(
        "No node has the labels of spec.nodeSelector, or those that have them take no pods now: they are cordoned, not "
        "ready, or have a taint that spec.tolerations does not match.",
        "Correct spec.nodeSelector and spec.tolerations, or uncordon or repair the nodes. They then get the images.",
    ),
    ImagesReason.NODES_UNKNOWN: PoolMeaning(
        "The operator does not see the nodes, so it pulls nothing.",
        "Set the chart's value operator.readNodes to true. It needs a ClusterRole.",
    ),
}
