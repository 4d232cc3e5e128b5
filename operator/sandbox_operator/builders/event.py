"""Kubernetes Events that the operator posts about a Sandbox."""

from enum import StrEnum
from functools import partial

from sandbox_common import sandbox_events


class EventReason(StrEnum):
    """Reason of an Event about a Sandbox."""

    RUNTIME_CLASS_DROPPED = "RuntimeClassDropped"
    POD_LOST = "PodLost"
    WORKSPACE_LOST = "WorkspaceLost"
    VOLUME_GROWS = "VolumeGrows"
    VOLUME_SIZE_KEPT = "VolumeSizeKept"
    SERVICE_REFUSED = "ServiceRefused"
    SUSPENDED_IDLE = "SuspendedIdle"
    START_TIMEOUT = "StartTimeout"
    EXPIRING_SOON = "ExpiringSoon"
    EXPIRED = "Expired"


build_event = partial(sandbox_events.build_event, by="operator")
