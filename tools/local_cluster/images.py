"""Container images: tiny ones made from a single static binary, and the import of archives into the node."""

import hashlib
import io
import json
import platform
import subprocess
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from local_cluster.build import binary, directory
from local_cluster.errors import ClusterError
from local_cluster.paths import State, cache_dir

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
REPOSITORY = "localhost/openhands-sandbox-cluster"


@dataclass(frozen=True)
class Scratch:
    """An image with one static binary at `/<name>`, run as `user`."""

    name: str
    user: str

    @property
    def reference(self) -> str:
        """The image's name and tag; the tag follows the binary's content."""
        return f"{REPOSITORY}/{self.name}:{self._key}"

    @property
    def _key(self) -> str:
        return directory(self.name).name.rpartition("-")[2]

    def archive(self) -> Path:
        """The docker-archive of this image, from the cache or made now from the built binary."""
        path = cache_dir() / "images" / f"{self.name}-{self._key}.tar"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_suffix(".new")
            config = {"Entrypoint": [f"/{self.name}"], "User": self.user, "WorkingDir": "/"}
            write_archive(temporary, self.reference, {self.name: binary(self.name).read_bytes()}, config)
            temporary.rename(path)
        return path


PAUSE = Scratch("pause", "65535:65535")
COREDNS = Scratch("coredns", "65532:65532")
PROVISIONER = Scratch("local-path-provisioner", "65532:65532")
# The directories' parent belongs to root.
VOLUME_HELPER = Scratch("volume-helper", "0:0")
NODE_IMAGES = (PAUSE, COREDNS, PROVISIONER, VOLUME_HELPER)


def write_archive(path: Path, reference: str, files: Mapping[str, bytes], config: Mapping[str, Any]) -> None:
    """Write a docker-archive with one layer that holds these executable files.

    `config` is the image configuration's `config` object. The same input gives the same bytes.
    """
    write_image(path, reference, tar(files, mode=0o755), config)


def write_image(path: Path, reference: str, layer: bytes, config: Mapping[str, Any]) -> None:
    """Write a docker-archive with this layer, a tar, alone."""
    layer_id = hashlib.sha256(layer).hexdigest()
    image = json.dumps(
        {
            "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()),
            "os": "linux",
            "created": "1970-01-01T00:00:00Z",
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer_id}"]},
            "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "local_cluster"}],
        }
    ).encode()
    image_id = hashlib.sha256(image).hexdigest()
    manifest = [{"Config": f"{image_id}.json", "RepoTags": [reference], "Layers": [f"{layer_id}.tar"]}]
    path.write_bytes(
        tar(
            {
                "manifest.json": json.dumps(manifest).encode(),
                f"{image_id}.json": image,
                f"{layer_id}.tar": layer,
            },
            mode=0o644,
        )
    )


def tar(files: Mapping[str, bytes], mode: int) -> bytes:
    """A tar of these files, which always has the same bytes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            entry.mode = mode
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def archive_images(path: Path) -> dict[str, str]:
    """The names in a docker-archive with the digest of the image's configuration (`sha256:…`).

    Raises ClusterError when the file is missing or is no docker-archive.
    """
    try:
        with tarfile.open(path) as archive:
            member = archive.extractfile("manifest.json")
            manifest: list[dict[str, Any]] = json.load(member) if member else []
            return {
                name: f"sha256:{Path(image['Config']).name.removesuffix('.json')}"
                for image in manifest
                for name in cast(list[str], image["RepoTags"] or [])
            }
    except FileNotFoundError:
        raise ClusterError(f"{path} does not exist", remedy="give the path of a docker-archive") from None
    except (tarfile.ReadError, IsADirectoryError, KeyError, json.JSONDecodeError) as error:
        raise ClusterError(
            f"{path} is not a docker-archive: {error}",
            remedy="make one with `buildah push IMAGE docker-archive:FILE:NAME` or `docker save -o FILE NAME`",
        ) from None


def load(state: State, path: Path) -> list[str]:
    """Import a docker-archive into the node, unless the node has its images. Returns the imported names."""
    images = archive_images(path)
    if not images:
        raise ClusterError(f"{path} holds no named image", remedy="name the image when writing the archive")
    if all(_config_digest(state, name) == digest for name, digest in images.items()):
        return []
    _ctr(state, "images", "import", str(path))
    return sorted(images)


def _config_digest(state: State, name: str) -> str | None:
    """The configuration digest of an image in the node; None when it is not there."""
    for line in _ctr(state, "images", "list", f"name=={name}").splitlines()[1:]:
        manifest = json.loads(_ctr(state, "content", "get", line.split()[2]))
        return manifest.get("config", {}).get("digest")
    return None


def _ctr(state: State, *arguments: str) -> str:
    command = [str(binary("ctr")), "--address", str(state.containerd_socket), "--namespace", "k8s.io", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise ClusterError(
            f"`ctr {' '.join(arguments)}` failed: {done.stderr.strip()}",
            log=state.logs / "containerd.log",
            remedy="check that the cluster runs: tools/local-cluster status",
        )
    return done.stdout
