import hashlib
import json
import tarfile
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_cluster import images
from local_cluster.errors import ClusterError
from local_cluster.images import archive_images, write_archive

NAME = "localhost/test/image:1"


def members(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as archive:
        return {entry.name: file.read() for entry in archive if (file := archive.extractfile(entry)) is not None}


@given(st.dictionaries(st.text("abc/", min_size=1, max_size=8).filter(lambda name: name.strip("/")), st.binary()))
def test_every_digest_in_an_archive_is_that_of_its_content(files: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "image.tar"
        write_archive(path, NAME, files, {"Entrypoint": ["/x"]})
        found = members(path)
    (manifest,) = json.loads(found["manifest.json"])
    (layer,) = manifest["Layers"]
    config = json.loads(found[manifest["Config"]])
    assert manifest["RepoTags"] == [NAME]
    assert manifest["Config"] == f"{hashlib.sha256(found[manifest['Config']]).hexdigest()}.json"
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(found[layer]).hexdigest()}"]
    assert config["config"] == {"Entrypoint": ["/x"]}


def test_the_files_of_a_layer_are_executable(tmp_path: Path) -> None:
    write_archive(tmp_path / "image.tar", NAME, {"pause": b"binary"}, {})
    found = members(tmp_path / "image.tar")
    layer = tmp_path / "layer.tar"
    layer.write_bytes(found[json.loads(found["manifest.json"])[0]["Layers"][0]])
    with tarfile.open(layer) as archive:
        assert [(entry.name, entry.mode) for entry in archive] == [("pause", 0o755)]


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_archive(tmp_path / name, NAME, {"pause": b"binary"}, {"User": "1"})
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_an_archive_names_its_images_with_their_configurations(tmp_path: Path) -> None:
    path = tmp_path / "image.tar"
    write_archive(path, NAME, {"pause": b"binary"}, {})
    (config,) = (name for name in members(path) if name.endswith(".json") and name != "manifest.json")
    assert archive_images(path) == {NAME: f"sha256:{config.removesuffix('.json')}"}


@pytest.mark.parametrize("content", [b"", b"not a tar", b"\0" * 10240])
def test_what_is_no_archive_is_refused_with_the_way_to_make_one(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.tar"
    path.write_bytes(content)
    with pytest.raises(ClusterError, match="is not a docker-archive") as refusal:
        archive_images(path)
    assert "docker-archive:" in str(refusal.value)


def test_a_directory_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="is not a docker-archive"):
        archive_images(tmp_path)
    with pytest.raises(ClusterError, match="does not exist"):
        archive_images(tmp_path / "none.tar")


def test_of_the_clusters_own_images_only_the_one_that_makes_directories_runs_as_root() -> None:
    roots = [image.name for image in images.NODE_IMAGES if image.user.split(":")[0] in ("", "0", "root")]
    assert roots == ["volume-helper"]
