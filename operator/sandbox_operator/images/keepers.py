"""Keepers: pods that run nothing but a pause program and mount images, so that kubelets pull and keep these images.

A kubelet deletes no image that a container mounts (Kubernetes 1.36, pkg/kubelet/images/image_gc_manager.go).
"""

import re
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any

from sandbox_common import times
from sandbox_common.kube import KubeObject
from sandbox_common.kube.unreadable import malformed
from sandbox_common.reasons import Reason
from sandbox_common.redaction import redacted
from sandbox_crds.api import IMAGES_LABEL
from sandbox_crds.image_references import Reference
from sandbox_operator.reporting import finality
from sandbox_operator.watching.pods import BENIGN_WAITS, controller_uid

CONTAINER = "keeper"
"""Name of the container that mounts the images."""
MESSAGE_CHARACTERS = 512
_CREDENTIALS = re.compile(r"(?<=://)[^/\s@]+@|\?[^\s\"]+")
"""In URLs: a name and password, and what follows the path, such as the signature of a storage service."""
_NOT_THE_IMAGE = frozenset({"CreateContainerError", "CreateContainerConfigError", "RunContainerError"})
_CRASH_LOOP = "CrashLoopBackOff"


class State(StrEnum):
    """READY: the images are mounted. WAITING: the pod has no node yet. FAILED: one of its images cannot be pulled."""

    READY = "ready"
    PULLING = "pulling"
    WAITING = "waiting"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Keeper:
    """`images` are in their full form. `node` is the one that it is made for. `since`: when it became ready."""

    name: str
    uid: str
    owner_uid: str
    of: str
    node: str
    images: tuple[str, ...]
    created: datetime
    state: State = State.WAITING
    since: datetime | None = None
    reason: str = ""
    message: str = ""
    deletion_requested: datetime | None = None
    resource_version: str = field(default="", compare=False)

    @property
    def is_batch(self) -> bool:
        """Whether it replaces pods with one image each."""
        return len(self.images) > 1


@lru_cache(maxsize=8192)
def full(text: str) -> str:
    """The image in its full form; what is malformed stays as it is, and the kubelet refuses it."""
    try:
        return str(Reference.parse(text))
    except ValueError:
        return text


@malformed("a keeper of images")
def decode(item: KubeObject) -> Keeper:
    """Decode a keeper from the API server. Raises ValueError if it is malformed."""
    metadata, spec = item["metadata"], item["spec"]
    status: dict[str, Any] = item.get("status") or {}
    required = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    state, since, reason, message = _state(spec, status)
    deleted = metadata.get("deletionTimestamp")
    return Keeper(
        name=metadata["name"],
        uid=metadata["uid"],
        owner_uid=controller_uid(item),
        of=metadata["labels"][IMAGES_LABEL],
        node=required["nodeSelectorTerms"][0]["matchFields"][0]["values"][0],
        images=tuple(full(volume["image"]["reference"]) for volume in spec["volumes"] if volume.get("image")),
        created=times.parse(metadata["creationTimestamp"]),
        state=state,
        since=since,
        reason=reason,
        message=redacted(_CREDENTIALS.sub("", message))[:MESSAGE_CHARACTERS],
        deletion_requested=times.parse(deleted) if deleted else None,
        resource_version=metadata.get("resourceVersion", ""),
    )


def _state(spec: dict[str, Any], status: dict[str, Any]) -> tuple[State, datetime | None, str, str]:
    """State, since when it is ready, and the reason and message of a failure."""
    if status.get("phase") in {"Failed", "Succeeded"}:
        return State.FAILED, None, status.get("reason") or Reason.POD_FAILED, status.get("message", "")
    reported: list[dict[str, Any]] = status.get("containerStatuses") or []
    # Webhooks may have added others.
    own = [each for each in reported if each["name"] == CONTAINER]
    now: dict[str, Any] = own[0].get("state") or {} if own else {}
    if running := now.get("running"):
        return State.READY, times.parse(running["startedAt"]), "", ""
    waiting: dict[str, str] = now.get("waiting") or {}
    reason, message = waiting.get("reason", ""), waiting.get("message", "")
    if reason not in BENIGN_WAITS:
        if reason in _NOT_THE_IMAGE:
            return State.FAILED, None, Reason.CREATE_CONTAINER_ERROR, message
        if reason == _CRASH_LOOP:
            return State.FAILED, None, reason, message
        return State.FAILED, None, finality.of_image(reason, message), message
    if spec.get("nodeName"):
        return State.PULLING, None, "", ""
    conditions: list[dict[str, str]] = status.get("conditions") or []
    refusal = next((part for part in conditions if part["type"] == "PodScheduled" and part["status"] == "False"), None)
    return State.WAITING, None, refusal.get("reason", "") if refusal else "", (refusal or {}).get("message", "")
