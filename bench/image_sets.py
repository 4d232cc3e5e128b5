"""Many images in the cluster's registry: a shared base, and a layer of its own each."""

import os
import ssl
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import httpx

from cluster.other_images import OtherImage
from local_cluster.build import binary
from local_cluster.registry import AUTHORITY, PUBLIC, USER, Registry
from local_cluster.registry_images import Blob, Image

LIGHT_AGENT = "light-agent"
"""A program that stands in for the agent server; its family in `local_cluster.build`."""
_AGENT_PATH = "usr/local/bin/openhands-agent-server"
_BASE = OtherImage("task", "", "")
"""All of its packages: 61 MB."""
_CHUNK = 1 << 16


@dataclass(frozen=True)
class ImageSet:
    """`references` in the order of their use. Sizes are in bytes."""

    references: Sequence[str]
    largest: int
    """Size of the largest image, with the base."""
    to_read: int
    """What a node reads for all of them if it has the base."""
    own: Sequence[tuple[str, str]]
    """Repository and digest of each image's own layer."""


def push(registry: Registry, name: str, count: int, size: int, *, with_agent: bool) -> ImageSet:
    """Push `count` images, each with `size` random bytes of its own. The registry must run. Raises ClusterError.

    `with_agent`: the light agent server is in them. `name` is a part of the repositories' names.
    """
    archive = _BASE.archive()
    shared = [Blob.layer({_AGENT_PATH: binary(LIGHT_AGENT).read_bytes()}, 0o755)] if with_agent else []
    references: list[str] = []
    own: list[tuple[str, str]] = []
    largest = to_read = 0
    for number in range(count):
        repository = f"{PUBLIC}{name}-{number}"
        layer = Blob.layer({f"task/{number}": os.urandom(size)})
        image = Image.of_archive(archive, label=repository, more=[*shared, layer])
        registry.push(image, repository, "1")
        references.append(f"{AUTHORITY}/{repository}:1")
        own.append((repository, layer.digest))
        largest = max(largest, image.size)
        to_read += len(image.manifest) + image.blobs[0].size + layer.size
    return ImageSet(references, largest, to_read, own)


def bytes_per_second(registry: Registry, layers: Iterable[tuple[str, str]]) -> float:
    """What the network alone manages: layers, by repository and digest, read one after the other by a plain client."""
    trust = ssl.create_default_context(cafile=registry.trusted)
    login = (USER, registry.password)
    with httpx.Client(base_url=f"https://{AUTHORITY}", auth=login, verify=trust, timeout=60, trust_env=False) as client:
        read, began = 0, time.monotonic()
        for repository, digest in layers:
            with client.stream("GET", f"/v2/{repository}/blobs/{digest}") as answer:
                answer.raise_for_status()
                read += sum(len(chunk) for chunk in answer.iter_bytes(_CHUNK))
        return read / (time.monotonic() - began)
