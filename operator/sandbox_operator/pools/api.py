"""Writes to pools and their pods."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sandbox_common.cluster_events import ClusterEvent
from sandbox_common.cluster_events import decode as decode_event
from sandbox_common.kube import ApiError, KubeClient, KubeObject, unreadable
from sandbox_common.kube.resources import EVENTS, PODS, SANDBOX_POOLS, SECRETS, VOLUME_CLAIMS
from sandbox_crds.models import Sandbox, SandboxClass, SandboxPool
from sandbox_operator.pools.claim_patch import claim_patch, return_patch, volume_patch
from sandbox_operator.reporting.refusals import Refusal, create_once, create_pod
from sandbox_operator.watching.pods import Pod, controller_uid, decode

_TAKEN = frozenset({404, 409, 422})
"""Status codes of a claim that was too late."""

_NOT_TAKEN = frozenset({403, 404, 422})
"""Status codes of a patch of a volume claim that will not succeed later."""


class PoolApi:
    """Pools and their pods in one namespace. All methods raise what KubeClient raises for failures that may pass."""

    def __init__(self, client: KubeClient, namespace: str) -> None:
        self._client = client
        self._namespace = namespace

    async def create_pod(self, body: KubeObject) -> Pod | Refusal:
        """POST a pod with a new name. Returns it as stored, or why the API server refuses it."""
        return await create_pod(self._client, self._namespace, body, decode)

    async def create_secret(self, body: KubeObject) -> Refusal | None:
        """POST a pod's Secret. An existing one is as good, since nobody else knows the name of a new pod."""
        return await create_once(self._client, SECRETS, self._namespace, body)

    async def create_volume_claim(self, body: KubeObject) -> Refusal | None:
        """POST the claim of a pod's volume. If an existing one is not the pod's, no sandbox can take it over."""
        return await create_once(self._client, VOLUME_CLAIMS, self._namespace, body)

    async def claim(self, pod: Pod, sandbox: Sandbox, class_: SandboxClass, now: datetime) -> KubeObject | None:
        """Claim a free warm pod for the sandbox. Returns the pod as stored; None if it is taken or being deleted.

        Raises ApiError.
        """
        try:
            return await self._client.json_patch(
                PODS, self._namespace, pod.name, claim_patch(pod, sandbox, class_, now)
            )
        except ApiError as error:
            if error.code not in _TAKEN:
                raise
            body = await self._client.find(PODS, self._namespace, pod.name) if error.code != 404 else None
            found = decode(body) if body else None
            if found is None or found.uid != pod.uid or found.deletion_requested:
                return None
            if found.is_free:
                raise  # an admission policy refuses with 422, too, and others may change the pod all the time (409)
            # The answer to an earlier attempt may have been lost.
            return body if found.owner_uid == sandbox.metadata.uid else None

    async def take_volume(self, pod: Pod, sandbox: Sandbox) -> str:
        """Make the sandbox the owner of the volume of its claimed pod. Returns why that is impossible; "" if it is.

        Raises ApiError.
        """
        name = pod.volume_claim
        try:
            await self._client.json_patch(VOLUME_CLAIMS, self._namespace, name, volume_patch(pod, sandbox))
        except ApiError as error:
            if error.code not in _NOT_TAKEN:
                raise
            found = await self._client.find(VOLUME_CLAIMS, self._namespace, name)
            if found is None or "deletionTimestamp" in found["metadata"]:
                return f"PersistentVolumeClaim {name} of the claimed pod is gone."
            owner = controller_uid(found)
            # An earlier process, or an earlier attempt whose answer was lost, may have done it.
            if owner == sandbox.metadata.uid:
                return ""
            # An admission policy refuses with the same codes.
            return error.message if owner == pod.uid else f"PersistentVolumeClaim {name} has another owner."
        return ""

    async def return_volume(self, pod: Pod, sandbox: Sandbox) -> None:
        """Let the volume of a claimed pod, which the sandbox does not keep, be deleted with the pod.

        Does nothing if the sandbox does not own the volume. Raises ApiError.
        """
        try:
            await self._client.json_patch(VOLUME_CLAIMS, self._namespace, pod.volume_claim, return_patch(pod, sandbox))
        except ApiError as error:
            if error.code not in _NOT_TAKEN:
                raise

    async def volume_events(self) -> tuple[ClusterEvent, ...]:
        """The Events about all volume claims. Unreadable ones are omitted."""
        answer = await self._client.list(EVENTS, self._namespace, fieldSelector=f"regarding.kind={VOLUME_CLAIMS.kind}")
        return tuple(unreadable.decoded(EVENTS, answer["items"], decode_event))

    async def delete_pod(self, pod: Pod) -> None:
        """Delete the pod if it has not changed (else ApiError 409, because a sandbox may have claimed it)."""
        await self._client.delete(PODS, self._namespace, pod.name, uid=pod.uid, resource_version=pod.resource_version)

    async def patch_status(self, pool: SandboxPool, status: Mapping[str, Any]) -> KubeObject:
        """Write the status if the pool has not changed (else ApiError 409). Returns the pool as stored."""
        body = {"metadata": {"resourceVersion": pool.metadata.resource_version}, "status": status}
        return await self._client.patch(SANDBOX_POOLS, self._namespace, pool.metadata.name, body, subresource="status")
