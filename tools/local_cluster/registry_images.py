"""Images as registries know them: a manifest, and blobs named by their digests."""

import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from local_cluster.errors import ClusterError
from local_cluster.images import archive_images, tar

_OCI = "application/vnd.oci.image"


@dataclass(frozen=True)
class Blob:
    """Some bytes that are named by their digest; `open` gives them to read."""

    digest: str
    size: int
    open: Callable[[], io.RawIOBase | io.BytesIO]

    @classmethod
    def of(cls, content: bytes) -> "Blob":
        return cls(_digest(content), len(content), partial(io.BytesIO, content))

    @classmethod
    def layer(cls, files: Mapping[str, bytes], mode: int = 0o644) -> "Blob":
        """A layer of these files."""
        return cls.of(tar(files, mode))


@dataclass(frozen=True)
class Image:
    """One image for one platform."""

    manifest: bytes
    blobs: Sequence[Blob]
    media_type: str = field(default=f"{_OCI}.manifest.v1+json", init=False)

    @property
    def digest(self) -> str:
        return _digest(self.manifest)

    @property
    def size(self) -> int:
        """Bytes that a node without any of its blobs reads."""
        return len(self.manifest) + sum(blob.size for blob in self.blobs)

    @classmethod
    def of_archive(cls, path: Path, *, label: str = "", more: Sequence[Blob] = ()) -> "Image":
        """The image of a docker-archive, with `more` layers, which are tars.

        A node knows images by their configuration: `label` makes it another one than the archive's. Raises ClusterError
        when the file is no docker-archive of one image.
        """
        if len(set(archive_images(path).values())) != 1:
            raise ClusterError(
                f"{path} does not hold exactly one image with a name", remedy="write one image to the archive"
            )
        with tarfile.open(path) as archive:
            [described] = json.loads(_member(archive, "manifest.json"))
            config: dict[str, Any] = json.loads(_member(archive, described["Config"]))
            layers = [_layer(path, archive.getmember(name)) for name in described["Layers"]] + [*more]
        if label:
            config["author"] = label
        for layer in more:
            config["rootfs"]["diff_ids"].append(layer.digest)
            config["history"].append({"created": "1970-01-01T00:00:00Z", "created_by": "local_cluster"})
        configuration = Blob.of(json.dumps(config).encode())
        manifest = {
            "schemaVersion": 2,
            "mediaType": f"{_OCI}.manifest.v1+json",
            "config": _descriptor(configuration, "config.v1+json"),
            "layers": [_descriptor(layer, "layer.v1.tar") for layer in layers],
        }
        return cls(json.dumps(manifest).encode(), (configuration, *layers))


def _descriptor(blob: Blob, kind: str) -> Mapping[str, Any]:
    return {"mediaType": f"{_OCI}.{kind}", "digest": blob.digest, "size": blob.size}


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    member = archive.extractfile(name)
    assert member
    return member.read()


def _layer(path: Path, member: tarfile.TarInfo) -> Blob:
    # The layers of a docker-archive are not compressed, and are named by their digests.
    return Blob(f"sha256:{Path(member.name).stem}", member.size, lambda: _Part(path, member.offset_data, member.size))


class _Part(io.RawIOBase):
    """A part of a file."""

    def __init__(self, path: Path, offset: int, size: int) -> None:
        self._file = path.open("rb")
        self._file.seek(offset)
        self._left = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        part = self._file.read(min(len(buffer), self._left))
        buffer[: len(part)] = part
        self._left -= len(part)
        return len(part)

    def close(self) -> None:
        self._file.close()
        super().close()


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
