"""Writes about lists of images and their pods."""

from collections.abc import Mapping
from typing import Any

from sandbox_common.kube import ApiError, KubeClient, KubeObject
from sandbox_common.kube.resources import PODS, SANDBOX_IMAGES
from sandbox_crds.models import SandboxImages
from sandbox_operator.images.keepers import Keeper, decode
from sandbox_operator.reporting.refusals import Refusal, create_pod


class ImagesApi:
    """Lists of images in one namespace. All raise what KubeClient raises for failures that may pass."""

    def __init__(self, client: KubeClient, namespace: str) -> None:
        self._client = client
        self._namespace = namespace

    async def create(self, body: KubeObject) -> Keeper | Refusal:
        """Create a pod; gives it as stored, or why the API server refuses it. Its name must be a new one."""
        return await create_pod(self._client, self._namespace, body, decode)

    async def delete(self, keeper: Keeper) -> None:
        """Delete the pod; one of the same name and another UID stays."""
        try:
            await self._client.delete(PODS, self._namespace, keeper.name, uid=keeper.uid)
        except ApiError as error:
            if error.code not in {404, 409}:
                raise

    async def patch_status(self, item: SandboxImages, status: Mapping[str, Any]) -> SandboxImages:
        """Write the status if the list is still as it was seen (else ApiError 409); gives the list as stored."""
        body = {"metadata": {"resourceVersion": item.metadata.resource_version}, "status": status}
        name = item.metadata.name
        answer = await self._client.patch(SANDBOX_IMAGES, self._namespace, name, body, subresource="status")
        return SandboxImages.model_validate(answer)
