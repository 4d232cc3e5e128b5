import hashlib
import json
from pathlib import Path

import pytest

from local_cluster.errors import ClusterError
from local_cluster.images import write_archive
from local_cluster.registry_images import Blob, Image

NAME = "localhost/test/image:1"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "image.tar"
    write_archive(path, NAME, {"agent": b"binary" * 1000}, {"Entrypoint": ["/agent"]})
    return path


def content(image: Image) -> list[bytes]:
    found: list[bytes] = []
    for blob in image.blobs:
        with blob.open() as file:
            found.append(file.read())
    return found


@pytest.mark.parametrize("more", [[], [Blob.layer({"more": b"other bytes"})]])
def test_each_blob_has_its_digest_and_size_in_the_manifest(archive: Path, more: list[Blob]) -> None:
    image = Image.of_archive(archive, more=more)
    manifest = json.loads(image.manifest)
    described = [manifest["config"], *manifest["layers"]]
    for blob, part, entry in zip(image.blobs, content(image), described, strict=True):
        assert blob.digest == entry["digest"] == f"sha256:{hashlib.sha256(part).hexdigest()}"
        assert blob.size == entry["size"] == len(part)
    assert image.digest == f"sha256:{hashlib.sha256(image.manifest).hexdigest()}"
    assert len(manifest["layers"]) == 1 + len(more)
    assert image.size == len(image.manifest) + sum(len(part) for part in content(image))


def test_the_configuration_names_all_layers(archive: Path) -> None:
    image = Image.of_archive(archive, more=[Blob.layer({"more": b"other bytes"})])
    config = json.loads(content(image)[0])
    assert config["rootfs"]["diff_ids"] == [blob.digest for blob in image.blobs[1:]]
    assert config["config"] == {"Entrypoint": ["/agent"]}


def test_a_label_makes_another_image_of_the_same_layers(archive: Path) -> None:
    one, other = Image.of_archive(archive, label="one"), Image.of_archive(archive, label="other")
    assert one.digest != other.digest
    assert [blob.digest for blob in one.blobs[1:]] == [blob.digest for blob in other.blobs[1:]]
    assert one.digest == Image.of_archive(archive, label="one").digest


def test_what_is_no_archive_of_one_image_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "image.tar"
    path.write_text("text")
    with pytest.raises(ClusterError, match="is not a docker-archive"):
        Image.of_archive(path)
