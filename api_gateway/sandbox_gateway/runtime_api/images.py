"""The Runtime API's endpoints for images, which only clients of OpenHands before its version 1 use."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query

from sandbox_crds.image_references import PATTERN, Reference
from sandbox_gateway.contract.errors import InvalidRequestError, NotOfferedError
from sandbox_gateway.contract.responses import ImageExistsResponse, RegistryPrefixResponse
from sandbox_gateway.registry.images import Images
from sandbox_gateway.runtime_api import examples
from sandbox_gateway.runtime_api.openapi import answers as described
from sandbox_gateway.runtime_api.openapi import refusals
from sandbox_gateway.runtime_api.routes import Audited, Key
from sandbox_gateway.sandboxes.permissions import Permissions
from sandbox_gateway.sandboxes.pull_secrets import PullSecrets

_NO_BUILDS = (
    "This gateway builds no images. Build the image elsewhere, push it to a registry that the cluster's nodes can pull "
    "from, and name it in POST /start."
)


def image_routes(
    images: Images, pull_secrets: PullSecrets, permissions: Permissions, registry_prefix: str
) -> APIRouter:
    """The endpoints; `registry_prefix` is answered as it is."""
    router = APIRouter(tags=["images"])

    @router.get(
        "/registry_prefix",
        summary="Say where clients put images",
        responses=described(prefix={"registry_prefix": "ghcr.io/example"}),
    )
    async def prefix() -> RegistryPrefixResponse:
        """Registry and path for the names of images that clients build, as the gateway is set up."""
        return RegistryPrefixResponse(registry_prefix=registry_prefix)

    @router.get(
        "/image_exists",
        summary="Look for an image in its registry",
        responses=described(
            there=examples.IMAGE_THERE, missing=examples.IMAGE_MISSING, not_known=examples.IMAGE_UNKNOWN
        ),
    )
    async def image_exists(
        key: Key,
        noted: Audited,
        image: Annotated[
            str,
            Query(
                description="Image reference.",
                max_length=1024,
                json_schema_extra={"pattern": PATTERN},
                examples=[examples.SDK_START["image"]],
            ),
        ],
    ) -> ImageExistsResponse:
        """Ask the registry, if the gateway is set up to ask that one.

        If the registry hides the image, and the API key may start it, the gateway asks again with the pull Secrets of
        the owner and of the key's default class. Where it cannot know, `exists` is true, `known` is false and `detail`
        says why.
        """
        noted.image = image
        try:
            reference = Reference.parse(image)
        except ValueError as error:
            raise InvalidRequestError(f"image: {error}") from None

        async def read() -> Sequence[bytes] | None:
            if not permissions.allows_image(image, key.policy):
                return ()
            return await pull_secrets.read(key.owner, permissions.default_class(key.policy))

        return await images.look(reference, read)

    @router.post("/build", summary="Build an image", status_code=501, responses=refusals(501))
    async def build() -> None:
        """Not offered: this gateway builds no images."""
        raise NotOfferedError(_NO_BUILDS)

    @router.get("/build_status", summary="Look at a build", status_code=501, responses=refusals(501))
    async def build_status() -> None:
        """Not offered: this gateway builds no images."""
        raise NotOfferedError(_NO_BUILDS)

    return router
