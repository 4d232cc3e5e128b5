"""Why a pod waits, if only Kubernetes Events say it: volumes, mounts, network, runtime handlers."""

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
"""Findings of `examine` whose cause may be only in Events."""

_POD, _CLAIM = "Pod", "PersistentVolumeClaim"

# Reasons of Events that report a failure (Kubernetes 1.36, pkg/kubelet/events, pkg/controller/volume), and reasons that
# show that the failure is over.
_CANNOT_CREATE = frozenset(
    {"FailedMount", "FailedAttachVolume", "FailedMapVolume", "FailedCreatePodSandBox", "NetworkNotReady"}
)
_CREATES = frozenset({"Pulling", "Pulled", "Created", "Started"})
_UNBOUND = frozenset({"ProvisioningFailed", "FailedBinding", "ExternalProvisioning", "ClaimLost", "ClaimMisbound"})
_BINDS = frozenset({"Provisioning", "ProvisioningSucceeded"})

_TOGETHER = timedelta(seconds=5)
"""A claim is made at the same time as the pod, so the first Event about it may be older than the pod."""
_MESSAGE_CHARACTERS = 1024
_SIMILAR = "(combined from similar events): "
_ID = re.compile(r"\b[0-9a-f]{32,}\b")


def redacted_events(pod_events: Iterable[ClusterEvent], secrets: Collection[str]) -> tuple[ClusterEvent, ...]:
    """The Events with redacted notes. Redact them before cutting them."""
    return tuple(replace(seen, note=redacted(seen.note, secrets)) for seen in pod_events)


def is_needed(pod: Pod) -> bool:
    """Whether the cause of a pod's waiting may be only in Events."""
    if examine(pod).reason not in _UNEXPLAINED:
        return False
    return not pod.node or not (pod.has_network or (pod.container and not _is_being_made(pod)))


def regarding(pod: Pod) -> str:
    """Name of the object whose Events may have the cause: the pod's, or before it has a node, its volume claim's."""
    return pod.name if pod.node else pod.volume_claim or pod.name


def find(pod: Pod, pod_events: Collection[ClusterEvent]) -> Finding | None:
    """The finding from the Events about `regarding(pod)`; None if the pod itself shows the cause, or Events do not.

    Events about an earlier pod of the same name, and about failures that are over, do not count.
    """
    if not is_needed(pod):
        return None
    if not pod.node:
        about = [seen for seen in pod_events if seen.kind == _CLAIM and seen.seen >= pod.created - _TOGETHER]
        return _finding(finality.of_claim, "The workspace's volume is not bound", about, _UNBOUND, _BINDS)
    about = [seen for seen in pod_events if seen.kind == _POD and seen.uid == pod.uid]
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
    # Each attempt has its own id. Without the id, the same cause has the same text and is written once.
    words = tail(_ID.sub("…", latest.note.removeprefix(_SIMILAR)), _MESSAGE_CHARACTERS)
    return Finding(judge(latest.note), f"{what}. {latest.reason}: {words}")


def _rank(seen: ClusterEvent) -> tuple[datetime, str, str]:
    return seen.seen, seen.reason, seen.note
