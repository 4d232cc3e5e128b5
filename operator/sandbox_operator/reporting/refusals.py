"""Requests that the API server will refuse again, unless something changes."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from sandbox_common.kube import ApiError, KubeClient, KubeObject, Resource
from sandbox_common.kube.resources import PODS
from sandbox_common.reasons import Reason

_REFUSALS = frozenset({400, 403, 413, 422})
"""Status codes that the same request gets again."""

_NO_IMAGE_VOLUMES = re.compile(r"spec\.volumes\[\d+\]: Required value: must specify a volume type")
"""An API server without the feature drops the volume's source, and no volume of ours is without one."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the API server refused an object."""

    reason: Reason
    message: str


def refusal_of(error: ApiError) -> Refusal | None:
    """The refusal in this error; None if the same request may succeed later."""
    if error.code not in _REFUSALS:
        return None
    if _NO_IMAGE_VOLUMES.search(error.message):
        return Refusal(Reason.IMAGE_VOLUMES_UNSUPPORTED, error.message)
    if error.namespace_ends or error.lacks_right:
        # The Sandbox is not to blame: its status may be what a restore begins with, or the operator's Role is changing.
        return Refusal(Reason.PENDING, error.message)
    return Refusal(Reason.QUOTA_EXCEEDED if error.over_quota else Reason.POD_REFUSED, error.message)


async def create_once(client: KubeClient, resource: Resource, namespace: str, body: KubeObject) -> Refusal | None:
    """POST an object; an existing one of this name is as good. Returns why the API server refuses it.

    Raises what KubeClient raises for failures that may pass.
    """
    try:
        await client.create(resource, namespace, body)
    except ApiError as error:
        if error.code == 409 and error.reason == "AlreadyExists":
            return None
        if refusal := refusal_of(error):
            return refusal
        raise
    return None


def dropped(wanted: KubeObject, stored: KubeObject) -> Refusal | None:
    """Why a new pod cannot stay: the API server has dropped a field that it needs. None if it has kept them.

    Servers drop fields that they do not know, or whose feature is off. Those before Kubernetes 1.33 have no user
    namespaces by default. Those before 1.31 make an empty directory of an image volume; later ones refuse the pod.
    """
    if wanted["spec"].get("hostUsers") is False and stored["spec"].get("hostUsers") is not False:
        return Refusal(
            Reason.POD_REFUSED,
            "The class requires user namespaces (pod.hostUsers: false), but the API server drops this field. It needs "
            "Kubernetes 1.33, and nodes that support it.",
        )
    if _image_volumes(wanted) - _image_volumes(stored):
        return Refusal(Reason.IMAGE_VOLUMES_UNSUPPORTED, "The API server does not know image volumes.")
    return None


def _image_volumes(pod: KubeObject) -> set[str]:
    return {volume["name"] for volume in pod["spec"].get("volumes", ()) if "image" in volume}


async def create_pod[T](
    client: KubeClient, namespace: str, body: KubeObject, decode: Callable[[KubeObject], T]
) -> T | Refusal:
    """POST a pod with a new name. Returns it as stored, or why the API server refuses it.

    Raises what KubeClient raises for failures that may pass, and what `decode` raises.
    """
    try:
        stored = await client.create(PODS, namespace, body)
    except ApiError as error:
        if error.reason == "AlreadyExists" and error.uncertain:
            # An attempt whose answer was lost has created it.
            stored = await client.get(PODS, namespace, body["metadata"]["name"])
        elif refusal := refusal_of(error):
            return refusal
        else:
            raise
    return await unless_dropped(client, namespace, body, stored) or decode(stored)


async def unless_dropped(client: KubeClient, namespace: str, wanted: KubeObject, stored: KubeObject) -> Refusal | None:
    """Delete a pod that has lost a restriction, at once, and say why. Raises what KubeClient raises."""
    if refusal := dropped(wanted, stored):
        metadata = stored["metadata"]
        await client.delete(PODS, namespace, metadata["name"], uid=metadata["uid"], grace_seconds=0)
    return refusal
