"""Lists of images, as files and as the cluster has them."""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Any

from kubectl_ohsb.errors import Refusal
from sandbox_common.kube import ApiError, KubeClient
from sandbox_common.kube.resources import SANDBOX_IMAGES
from sandbox_crds.image_references import Reference
from sandbox_crds.models import SandboxImages
from sandbox_crds.models.sandbox_images import LONGEST_IMAGE, MOST_IMAGES

_NAMED = 5
"""Lines that a refusal names."""
_POLL_SECONDS = 1.0
_TRIES = 3


@dataclass(frozen=True, slots=True)
class Added:
    """What an addition has done: how many images are new, and how many were there, or given, already."""

    name: str
    new: int
    known: int


def decoded(content: bytes) -> str:
    """The text of a file. Raises Refusal if it is not in UTF-8."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise Refusal(f"line {line} is not in UTF-8: save the file in this encoding") from None


def read(text: str) -> list[str]:
    """The images of a file: one in each line; empty lines and those that begin with # do not count. Raises Refusal."""
    images: list[str] = []
    wrong: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        image = line.partition(" #")[0].strip()
        if not image or image.startswith("#"):
            continue
        try:
            Reference.parse(image)
        except ValueError as error:
            wrong.append(f"line {number}: {image[:80]!a} {error}")
            continue
        if len(image) > LONGEST_IMAGE:
            wrong.append(f"line {number}: {image[:80]!a} has more than {LONGEST_IMAGE} characters")
            continue
        images.append(image)
    if wrong:
        more = f"\nand {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else ""
        raise Refusal("\n".join(wrong[:_NAMED]) + more)
    if not images:
        raise Refusal("the list has no images: write one in each line")
    return images


def joined(before: Sequence[str], more: Sequence[str]) -> list[str]:
    """The images of both, in order, each once. Raises Refusal if these are too many."""
    found: dict[str, str] = {}
    for image in (*before, *more):
        found.setdefault(str(Reference.parse(image)), image)
    if len(found) > MOST_IMAGES:
        raise Refusal(
            f"a list can have {MOST_IMAGES} images, and this one would have {len(found)}: split the file, and add "
            "the parts with other values of --name"
        )
    return list(found.values())


class Lists:
    """Reads and writes SandboxImages of a namespace. Raises ApiError besides what is said."""

    def __init__(self, client: KubeClient, namespace: str) -> None:
        self._client = client
        self._namespace = namespace

    async def all(self) -> list[SandboxImages]:
        """By name."""
        pages = self._client.pages(SANDBOX_IMAGES, self._namespace)
        found = [SandboxImages.model_validate(item) async for page in pages for item in page["items"]]
        return sorted(found, key=lambda item: item.metadata.name)

    async def get(self, name: str) -> SandboxImages:
        """One of them. Raises Refusal if there is none."""
        found = await self._client.find(SANDBOX_IMAGES, self._namespace, name)
        if found is None:
            raise Refusal(
                f"there is no SandboxImages {name} in namespace {self._namespace}; list them: kubectl ohsb images list"
            )
        return SandboxImages.model_validate(found)

    async def add(self, name: str, images: Sequence[str], spec: dict[str, Any]) -> Added:
        """Add images to the end of a list, which is created if there is none. Raises Refusal."""
        for _ in range(_TRIES):
            found = await self._client.find(SANDBOX_IMAGES, self._namespace, name)
            before: list[str] = found["spec"]["images"] if found else []
            together = joined(before, images)
            changed = {**spec, "images": together}
            new = len(together) - len(joined(before, ()))
            try:
                if found is None:
                    body = {"apiVersion": SANDBOX_IMAGES.api_version, "kind": SANDBOX_IMAGES.kind}
                    await self._client.create(
                        SANDBOX_IMAGES, self._namespace, body | {"metadata": {"name": name}, "spec": changed}
                    )
                else:
                    body = {"metadata": {"resourceVersion": found["metadata"]["resourceVersion"]}, "spec": changed}
                    await self._client.patch(SANDBOX_IMAGES, self._namespace, name, body)
            except ApiError as error:
                if error.code != 409:
                    raise
                continue
            return Added(name, new, len(images) - new)
        raise Refusal(f"somebody else changes {name} at the same time: see what it is now, and try again")

    async def follow(self, name: str, seconds: float) -> AsyncGenerator[SandboxImages]:
        """The list again and again, until all its images are kept, or have failed. Raises Refusal after `seconds`."""
        end = time.monotonic() + seconds
        while True:
            item = await self.get(name)
            yield item
            if is_settled(item):
                return
            if time.monotonic() > end:
                raise Refusal(f"the images of {name} are not on all nodes after {seconds:.0f} s")
            await asyncio.sleep(_POLL_SECONDS)


def is_settled(item: SandboxImages) -> bool:
    """Whether nothing is on its way any more."""
    status = item.status
    ready = status.condition("Ready")
    is_current = status.observed_generation == item.metadata.generation
    return bool(is_current and ready and status.wanted and status.ready + status.failed >= status.wanted)
