"""Writes about pools and their pods."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sandbox_common.kube import ApiError, KubeClient, KubeObject
from sandbox_common.kube.resources import PODS, SANDBOX_POOLS, SECRETS
from sandbox_crds.models import Sandbox, SandboxClass, SandboxPool
from sandbox_operator.pools.claiming import claim as claim_operations
from sandbox_operator.reporting.refusals import Refusal, refusal_of
from sandbox_operator.watching.pods import Pod, decode

_TAKEN = frozenset({404, 409, 422})
"""Status codes of a claim that came too late."""


class PoolApi:
    """Pools and their pods in one namespace. All raise what KubeClient raises for failures that may pass."""

    def __init__(self, client: KubeClient, namespace: str) -> None:
        self._client = client
        self._namespace = namespace

    async def create_pod(self, body: KubeObject) -> Pod | Refusal:
        """POST a pod; gives it as stored, or why the API server refuses it. Its name must be one that is new."""
        try:
            return decode(await self._client.create(PODS, self._namespace, body))
        except ApiError as error:
            if error.reason == "AlreadyExists" and error.uncertain:
                # By an attempt whose answer was lost.
                return decode(await self._client.get(PODS, self._namespace, body["metadata"]["name"]))
            if refusal := refusal_of(error):
                return refusal
            raise

    async def create_secret(self, body: KubeObject) -> Refusal | None:
        """POST a pod's Secret; one that is there is as good as new, since nobody else knows the pod's name before."""
        try:
            await self._client.create(SECRETS, self._namespace, body)
        except ApiError as error:
            if error.code == 409 and error.reason == "AlreadyExists":
                return None
            if refusal := refusal_of(error):
                return refusal
            raise
        return None

    async def claim(self, pod: Pod, sandbox: Sandbox, class_: SandboxClass, now: datetime) -> KubeObject | None:
        """Make a free warm pod the sandbox's; gives the pod as stored, None when somebody else has it or ends it.

        Raises ApiError.
        """
        try:
            return await self._client.json_patch(
                PODS, self._namespace, pod.name, claim_operations(pod, sandbox, class_, now)
            )
        except ApiError as error:
            if error.code not in _TAKEN:
                raise
            body = await self._client.find(PODS, self._namespace, pod.name) if error.code == 422 else None
            found = decode(body) if body else None
            if found is None or found.uid != pod.uid or found.deletion_requested:
                return None
            if found.is_free:
                raise  # a policy refuses with the same code
            # The answer to an earlier attempt may have been lost.
            return body if found.owner_uid == sandbox.metadata.uid else None

    async def delete_pod(self, pod: Pod) -> bool:
        """Delete the pod if it still is as it was seen; False when it is not, since somebody may have claimed it."""
        try:
            await self._client.delete(
                PODS, self._namespace, pod.name, uid=pod.uid, resource_version=pod.resource_version
            )
        except ApiError as error:
            if error.code == 409:
                return False
            raise
        return True

    async def patch_status(self, pool: SandboxPool, status: Mapping[str, Any]) -> KubeObject:
        """Write the status if the pool is still as it was seen (else ApiError 409); gives the pool as stored."""
        body = {"metadata": {"resourceVersion": pool.metadata.resource_version}, "status": status}
        return await self._client.patch(SANDBOX_POOLS, self._namespace, pool.metadata.name, body, subresource="status")
