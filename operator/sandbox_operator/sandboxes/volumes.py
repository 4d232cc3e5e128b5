"""The volume claim of a workspace when a pod is made: how it must grow, and the Events about it. Pure."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from sandbox_common import times
from sandbox_common.kube import KubeObject
from sandbox_common.losses import loss_words
from sandbox_crds.models import Sandbox, SandboxClass
from sandbox_operator.builders.event import EventReason, build_event
from sandbox_operator.builders.quantity import is_less
from sandbox_operator.builders.volume import ADOPTED_ANNOTATION
from sandbox_operator.reporting.losses import lost_volume
from sandbox_operator.reporting.redaction import tail

_REFUSAL_CHARACTERS = 300


def made_at(claim: KubeObject) -> datetime | None:
    """When a claim was made, and its volume with it; None if it was made for a volume that existed before."""
    metadata: dict[str, Any] = claim["metadata"]
    annotations: dict[str, str] = metadata.get("annotations") or {}
    return None if ADOPTED_ANNOTATION in annotations else times.parse(metadata["creationTimestamp"])


def growth(class_: SandboxClass, claim: KubeObject) -> str:
    """The size that the class asks for, if the claim has less; otherwise ""."""
    wanted = class_.spec.workspace.size
    return wanted if is_less(_size(claim), wanted) else ""


def volume_events(
    sandbox: Sandbox, class_: SandboxClass, claim: KubeObject, now: datetime, refusal: str = ""
) -> Iterator[KubeObject]:
    """Events about a claim, each posted once: that it is new although the sandbox is not, and that it grows or cannot.

    `refusal` says why it cannot grow; "" if it grows.
    """
    uid = claim["metadata"]["uid"]
    if loss := lost_volume(sandbox, made_at(claim), now):
        yield build_event(
            sandbox,
            now,
            type_="Warning",
            reason=EventReason.WORKSPACE_LOST,
            action="CreateVolumeClaim",
            note=loss_words(loss),
            once=uid,
        )
    wanted = growth(class_, claim)
    if not wanted:
        return
    present = _size(claim)
    grows = f"The workspace's volume grows from {present} to {wanted}, because the class now asks for this size."
    kept = (
        f"The workspace's volume keeps its size of {present}, although the class now asks for {wanted}. The API server "
        f"says: {tail(refusal, _REFUSAL_CHARACTERS)} Only a StorageClass with allowVolumeExpansion lets volumes grow."
    )
    yield build_event(
        sandbox,
        now,
        type_="Warning" if refusal else "Normal",
        reason=EventReason.VOLUME_SIZE_KEPT if refusal else EventReason.VOLUME_GROWS,
        action="CreatePod",
        note=kept if refusal else grows,
        once=f"{uid}-{wanted.lower()}",
    )


def _size(claim: KubeObject) -> str:
    return claim["spec"]["resources"]["requests"]["storage"]
