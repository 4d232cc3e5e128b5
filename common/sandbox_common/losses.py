"""Why pods are lost: every reason that `status.lastLoss` of a Sandbox can have, and its remedy.

This is the only definition: the operator takes reasons from it, operator and gateway take messages from it, and tests
and docs read it.
"""

from dataclasses import dataclass
from enum import StrEnum

from sandbox_crds.models.sandbox import Loss, SandboxStatus


class LossReason(StrEnum):
    """Why a sandbox lost its pod or volume although its owner did not ask for that."""

    HOME_FULL = "HomeFull"
    TMP_FULL = "TmpFull"
    WORKSPACE_FULL = "WorkspaceFull"
    EPHEMERAL_STORAGE_FULL = "EphemeralStorageFull"
    NODE_LOW_ON_DISK = "NodeLowOnDisk"
    NODE_LOW_ON_MEMORY = "NodeLowOnMemory"
    NODE_LOW_ON_PROCESSES = "NodeLowOnProcesses"
    EVICTED_BY_NODE = "EvictedByNode"
    DRAINED = "Drained"
    PREEMPTED = "Preempted"
    TAINTED = "Tainted"
    NODE_SHUTDOWN = "NodeShutdown"
    NODE_DELETED = "NodeDeleted"
    NODE_LOST = "NodeLost"
    DELETED = "Deleted"
    GONE = "Gone"
    ENDED = "Ended"
    VOLUME_GONE = "VolumeGone"


@dataclass(frozen=True, slots=True)
class LossMeaning:
    """What has happened, and how to prevent it."""

    text: str
    remedy: str


_PERSIST = "A SandboxClass with workspace.persistent keeps /workspace on a volume."

LOSSES: dict[LossReason, LossMeaning] = {
    LossReason.HOME_FULL: LossMeaning(
        "The home directory was fuller than its class allows, so the node ended the pod.",
        "Keep less in it, or raise pod.homeSize of the SandboxClass.",
    ),
    LossReason.TMP_FULL: LossMeaning(
        "The directory /tmp was fuller than its class allows, so the node ended the pod.",
        "Keep less in it, or raise pod.tmpSize of the SandboxClass. Uploads pass through it.",
    ),
    LossReason.WORKSPACE_FULL: LossMeaning(
        "The directory /workspace was fuller than its class allows, so the node ended the pod.",
        f"Keep less in it, or raise workspace.size of the SandboxClass. {_PERSIST}",
    ),
    LossReason.EPHEMERAL_STORAGE_FULL: LossMeaning(
        "The pod wrote more to its node's disk than its class allows (/tmp, home, logs, and /workspace without a "
        "volume), so the node ended it.",
        f"Write less, or raise resources.limits.ephemeral-storage of the SandboxClass. {_PERSIST}",
    ),
    LossReason.NODE_LOW_ON_DISK: LossMeaning(
        "The node ran out of disk, and ended pods that used more than they had requested.",
        "Raise resources.requests.ephemeral-storage of the SandboxClass, or give the nodes more disk.",
    ),
    LossReason.NODE_LOW_ON_MEMORY: LossMeaning(
        "The node ran out of memory, and ended pods that used more than they had requested.",
        "Raise resources.requests.memory of the SandboxClass, or give the nodes more memory.",
    ),
    LossReason.NODE_LOW_ON_PROCESSES: LossMeaning(
        "The node ran out of process ids.", "Set podPidsLimit of the kubelets, so that no pod uses all of them."
    ),
    LossReason.EVICTED_BY_NODE: LossMeaning(
        "The node evicted the pod.", "See `kubectl describe node`; raise resources.requests of the SandboxClass."
    ),
    LossReason.DRAINED: LossMeaning(
        "The pod was evicted through the API: `kubectl drain`, an autoscaler, or a maintenance tool.",
        f"Pause sandboxes before their node is drained. {_PERSIST}",
    ),
    LossReason.PREEMPTED: LossMeaning(
        "A pod of higher priority took its place.",
        "Set pod.priorityClassName of the SandboxClass, or add nodes.",
    ),
    LossReason.TAINTED: LossMeaning(
        "Its node got a taint that the pod does not tolerate, or stopped reporting.",
        "See `kubectl describe node`, and pod.tolerations of the SandboxClass.",
    ),
    LossReason.NODE_SHUTDOWN: LossMeaning("Its node was shut down.", f"Pause sandboxes before. {_PERSIST}"),
    LossReason.NODE_DELETED: LossMeaning("Its node was deleted.", f"Drain nodes before. {_PERSIST}"),
    LossReason.NODE_LOST: LossMeaning("Its node stopped reporting.", "See `kubectl describe node`."),
    LossReason.DELETED: LossMeaning(
        "Somebody deleted the pod.", "Pause or stop a sandbox by the Runtime API, or by spec.suspend."
    ),
    LossReason.GONE: LossMeaning("The pod is gone for an unknown reason.", "See the API server's audit log."),
    LossReason.ENDED: LossMeaning("Its node ended the pod.", "If it recurs, see `kubectl describe node`."),
    LossReason.VOLUME_GONE: LossMeaning(
        "The claim of the workspace's volume was gone, so the operator made a new one: /workspace is empty.",
        "Restore /workspace from a backup. Volumes whose StorageClass has reclaimPolicy Retain outlive their claims.",
    ),
}


def loss_words(loss: Loss) -> str:
    """What was lost, why, and the remedy, in whole sentences."""
    meaning = LOSSES[LossReason(loss.reason)] if loss.reason in LossReason else LOSSES[LossReason.ENDED]
    said = f"{loss.message.rstrip('. ')}." if loss.message.strip(". ") else ""
    workspace = {"Lost": "The content of /workspace is lost.", "Kept": "/workspace is kept."}.get(loss.workspace, "")
    return " ".join(filter(None, (meaning.text, said, workspace, f"Remedy: {meaning.remedy}")))


def losses_words(status: SandboxStatus) -> str:
    """The last loss of a sandbox, with its time and the number of all lost pods; "" if there was none."""
    if status.last_loss is None:
        return ""
    often = f" ({status.lost_pods} pods lost so far)" if status.lost_pods > 1 else ""
    return f"At {status.last_loss.time}{often}: {loss_words(status.last_loss)}"
