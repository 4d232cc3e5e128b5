"""What Kubernetes Events say about a pod that waits without telling why: volumes, mounts, network, runtime handlers."""

import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from sandbox_common.cluster_events import ClusterEvent
from sandbox_common.reasons import Reason
from sandbox_common.redaction import redacted
from sandbox_operator.reporting import finality
from sandbox_operator.reporting.findings import Finding, examine
from sandbox_operator.reporting.redaction import tail
from sandbox_operator.watching.pods import BENIGN_WAITS, Pod

_UNEXPLAINED = frozenset({Reason.PENDING, Reason.STARTING, Reason.VOLUME_NOT_BOUND})
"""Findings of `examine` whose cause may stand in Events alone."""

_POD, _CLAIM = "Pod", "PersistentVolumeClaim"

# Reasons of Events (Kubernetes 1.36, pkg/kubelet/events, pkg/controller/volume), and those after which they are past.
_CANNOT_CREATE = frozenset(
    {"FailedMount", "FailedAttachVolume", "FailedMapVolume", "FailedCreatePodSandBox", "NetworkNotReady"}
)
_CREATES = frozenset({"Pulling", "Pulled", "Created", "Started"})
_UNBOUND = frozenset({"ProvisioningFailed", "FailedBinding", "ExternalProvisioning"})
_BINDS = frozenset({"Provisioning", "ProvisioningSucceeded"})

_TOGETHER = timedelta(seconds=5)
"""A claim is made side by side with the pod, so that it may have been spoken of before the pod was made."""
_MESSAGE_CHARACTERS = 1024
_SIMILAR = "(combined from similar events): "
_ID = re.compile(r"\b[0-9a-f]{32,}\b")


def redacted_evidence(evidence: Iterable[ClusterEvent], secrets: Collection[str]) -> tuple[ClusterEvent, ...]:
    """The evidence with its texts redacted, before they are cut."""
    return tuple(replace(seen, note=redacted(seen.note, secrets)) for seen in evidence)


def is_needed(pod: Pod) -> bool:
    """Whether the cause for which a pod waits may stand in Events alone."""
    if examine(pod).reason not in _UNEXPLAINED:
        return False
    return not pod.node or not (pod.has_network or (pod.container and not _is_being_made(pod)))


def find(pod: Pod, evidence: Collection[ClusterEvent]) -> Finding | None:
    """What the Events about a pod's name say of this pod; None when it speaks for itself, or they say nothing.

    Events of an earlier pod of the same name, and of what has passed since, do not count.
    """
    if not is_needed(pod):
        return None
    if not pod.node:
        about = [seen for seen in evidence if seen.kind == _CLAIM and seen.seen >= pod.created - _TOGETHER]
        return _finding(finality.of_claim, "The workspace's volume is not bound", about, _UNBOUND, _BINDS)
    about = [seen for seen in evidence if seen.kind == _POD and seen.uid == pod.uid]
    return _finding(finality.of_pod, "The container cannot be made", about, _CANNOT_CREATE, _CREATES)


def _is_being_made(pod: Pod) -> bool:
    container = pod.container
    return container is not None and container.running_since is None and container.waiting_reason in BENIGN_WAITS


def _finding(
    judge: Callable[[str], Reason],
    what: str,
    about: Collection[ClusterEvent],
    failures: Collection[str],
    progress: Collection[str],
) -> Finding | None:
    latest = max((seen for seen in about if seen.reason in failures), key=_rank, default=None)
    if latest is None:
        return None
    if any(seen.seen >= latest.seen for seen in about if seen.reason in progress):
        return None
    # Each attempt has an id of its own; without it the same cause has the same words, and is written once.
    words = tail(_ID.sub("…", latest.note.removeprefix(_SIMILAR)), _MESSAGE_CHARACTERS)
    return Finding(judge(latest.note), f"{what}. {latest.reason}: {words}")


def _rank(seen: ClusterEvent) -> tuple[datetime, str, str]:
    return seen.seen, seen.reason, seen.note
