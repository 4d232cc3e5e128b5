"""Requests that the API server will refuse again, unless something changes."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from sandbox_common.kube import ApiError, KubeClient, KubeObject
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
    return Refusal(Reason.QUOTA_EXCEEDED if error.over_quota else Reason.POD_REFUSED, error.message)


async def create_pod[T](
    client: KubeClient, namespace: str, body: KubeObject, decode: Callable[[KubeObject], T]
) -> T | Refusal:
    """POST a pod with a new name. Returns it as stored, or why the API server refuses it.

    Raises what KubeClient raises for failures that may pass, and what `decode` raises.
    """
    try:
        return decode(await client.create(PODS, namespace, body))
    except ApiError as error:
        if error.reason == "AlreadyExists" and error.uncertain:
            # An attempt whose answer was lost has created it.
            return decode(await client.get(PODS, namespace, body["metadata"]["name"]))
        if refusal := refusal_of(error):
            return refusal
        raise
