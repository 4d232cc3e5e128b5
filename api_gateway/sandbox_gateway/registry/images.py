"""Whether an image exists: asks its registry by the OCI distribution API, if the gateway may ask that registry."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import datetime

import httpx
import structlog
from pydantic import BaseModel, Field, ValidationError

from sandbox_crds.image_references import Reference
from sandbox_gateway.contract.responses import ImageExistsResponse, ImageFacts
from sandbox_gateway.registry.addresses import PrivateAddressError
from sandbox_gateway.registry.credentials import Credentials, matching
from sandbox_gateway.registry.http import RegistryClient, RegistryError, json_object

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_SECONDS = 10.0
"""For all requests together. The shortest client time-out is 15 s (openhands_ai 1.11.0)."""
_AT_ONCE = 8
_API_HOSTS = {"docker.io": "registry-1.docker.io"}
_ACCEPT = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)
_DIGEST = r"^[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[A-Za-z0-9=_-]+$"
_PROBLEMS = (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError)
_MOST_LOGINS = 4
"""Maximum number of credentials that are tried for one image."""
_NOTHING_KNOWN = ImageFacts(upload_time="", image_size_bytes=0)


type ReadSecrets = Callable[[], Awaitable[Sequence[bytes] | None]]
"""Reads the `.dockerconfigjson` of pull Secrets; None if they cannot be read."""


class _HiddenError(RegistryError):
    """The registry does not show the image without credentials, or with these."""

    def __init__(self, status: int) -> None:
        super().__init__(f"it refuses the pull Secrets (status {status})")
        self.status = status


class _Platform(BaseModel):
    os: str = ""
    architecture: str = ""


class _Descriptor(BaseModel):
    digest: str = Field(pattern=_DIGEST, max_length=256)
    size: int = Field(ge=0)
    platform: _Platform = _Platform()


class _Manifest(BaseModel):
    """An image, or with `manifests` an index of images for several platforms."""

    config: _Descriptor | None = None
    layers: list[_Descriptor] = []
    manifests: list[_Descriptor] = []


class Images:
    """Asks only `registries` (names as in image references), and only a few at a time."""

    def __init__(self, registries: Collection[str], tls: ssl.SSLContext | None = None) -> None:
        self._registries = frozenset(registries)
        self._tls = tls
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def look(self, image: Reference, read: ReadSecrets) -> ImageExistsResponse:
        """What the registry says, or why that is unknown. `read` gives pull Secrets. Raises only what `read` raises.

        They are read only if the registry hides the image from those who have no credentials.
        """
        registry = image.registry
        if registry not in self._registries:
            return _unknown(f"This gateway is not set up to ask {registry}: list it in its setting image_registries.")
        # Made at the first question: it takes a tenth of a second, and most gateways never get one.
        self._tls = self._tls or httpx.create_ssl_context()
        try:
            async with asyncio.timeout(_SECONDS), self._slots:
                return await self._ask(image, read, self._tls)
        except TimeoutError:
            problem = "it did not answer in time"
        except RegistryError as error:
            problem = str(error)
        except PrivateAddressError as error:
            problem = f"it leads to {error}, which is not on the internet"
        except _PROBLEMS as error:
            _log.info("registry not reached", registry=registry, error=str(error) or type(error).__name__)
            problem = "it cannot be reached from the gateway"
        return _unknown(f"The gateway asked {registry}, but {problem}.")

    async def _ask(self, image: Reference, read: ReadSecrets, tls: ssl.SSLContext) -> ImageExistsResponse:
        """The first answer that the image exists; without one, that it is missing, if all credentials were accepted.

        Registries may answer 404 for an image that they hide, so credentials that do not work leave it unknown.
        """
        trusted = [_API_HOSTS.get(name, name) for name in self._registries]
        host = _API_HOSTS.get(image.registry, image.registry)

        async def ask(credentials: Credentials | None) -> ImageExistsResponse:
            async with RegistryClient(host, trusted, tls, credentials) as client:
                return await _ask(client, image)

        try:
            answer, status = await ask(None), 404
        except _HiddenError as error:
            answer, status = None, error.status
        if answer and answer.exists:
            return answer
        problems = [f"it does not show the image without credentials (status {status})"]
        configs = await read()
        if configs is None:
            problems.append("the gateway cannot read the pull Secrets now")
        logins = [login for config in configs or () for login in matching(config, image)]
        for login in logins[:_MOST_LOGINS]:
            try:
                answer = await ask(login)
            except RegistryError as error:
                problems.append(str(error))
            else:
                if answer.exists:
                    return answer
        if answer is None or len(problems) > 1:
            raise RegistryError(", and ".join(dict.fromkeys(problems)))
        return answer


def _unknown(detail: str) -> ImageExistsResponse:
    detail = f"{detail} The nodes may be able to pull the image nevertheless."
    return ImageExistsResponse(exists=True, known=False, detail=detail, image=_NOTHING_KNOWN)


async def _ask(client: RegistryClient, image: Reference) -> ImageExistsResponse:
    answer = await client.get(_manifest_path(image, image.version), scope=_scope(image), accept=_ACCEPT)
    if answer.status == 404:
        detail = f"{image.registry} has no such image."
        return ImageExistsResponse(exists=False, known=True, detail=detail, image=_NOTHING_KNOWN)
    if answer.status in {401, 403}:
        raise _HiddenError(answer.status)
    if answer.status != 200:
        raise RegistryError(f"it answers with status {answer.status}")
    facts = await _facts(client, image, answer.body)
    return ImageExistsResponse(exists=True, known=True, detail=f"{image.registry} has the image.", image=facts)


async def _facts(client: RegistryClient, image: Reference, body: bytes) -> ImageFacts:
    """Size and time, if the registry gives them. Without them, it is still known that the image exists."""
    time, size = "", 0
    try:
        manifest = _Manifest.model_validate_json(body)
        if manifest.manifests:
            path = _manifest_path(image, _preferred(manifest.manifests).digest)
            manifest = _Manifest.model_validate_json((await client.get(path, scope=_scope(image), accept=_ACCEPT)).body)
        if manifest.config is not None:
            size = manifest.config.size + sum(layer.size for layer in manifest.layers)
            path = f"/v2/{image.repository}/blobs/{manifest.config.digest}"
            config = await client.get(path, scope=_scope(image))
            time = _time(json_object(config.body).get("created"))
    except (RegistryError, PrivateAddressError, ValidationError, *_PROBLEMS) as error:
        _log.info("image not described", registry=image.registry, error=str(error) or type(error).__name__)
    return ImageFacts(upload_time=time, image_size_bytes=size)


def _preferred(images: Collection[_Descriptor]) -> _Descriptor:
    wanted = _Platform(os="linux", architecture="amd64")
    return next((image for image in images if image.platform == wanted), next(iter(images)))


def _time(value: object) -> str:
    try:
        return value if isinstance(value, str) and datetime.fromisoformat(value) else ""
    except ValueError:
        return ""


def _manifest_path(image: Reference, version: str) -> str:
    return f"/v2/{image.repository}/manifests/{version}"


def _scope(image: Reference) -> str:
    return f"repository:{image.repository}:pull"
