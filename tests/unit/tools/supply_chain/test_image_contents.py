"""What an image holds after all of its layers."""

import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from supply_chain import image_contents
from supply_chain.image_contents import DebianPackage

SITE = "opt/app/lib/python3.13/site-packages"
OS_RELEASE = 'PRETTY_NAME="Debian"\nID=debian\nVERSION_ID="13"\n'
STATUS = """\
Package: zlib1g
Status: install ok installed
Architecture: amd64
Source: zlib (1:1.3)
Version: 1:1.3+b1
Description: library
 in several lines

Package: removed
Status: deinstall ok config-files
Architecture: amd64
Version: 1

Package: bash
Status: install ok installed
Architecture: amd64
Version: 5.2
"""


def tar_of(files: Mapping[str, str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content.encode())
            tar.addfile(member, io.BytesIO(content.encode()))
    return buffer.getvalue()


def archive(path: Path, *layers: Mapping[str, str]) -> Path:
    manifest = [{"Config": "c0ffee.json", "Layers": [f"{number}.tar" for number, _ in enumerate(layers)]}]
    with tarfile.open(path, "w") as tar:
        contents = {"manifest.json": json.dumps(manifest).encode()}
        contents |= {f"{number}.tar": tar_of(layer) for number, layer in enumerate(layers)}
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def distribution(name: str, version: str, path: str = "") -> dict[str, str]:
    text = f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\n\nVersion: of the description\n"
    return {path or f"{SITE}/{name}-{version}.dist-info/METADATA": text}


BASE = {"usr/lib/os-release": OS_RELEASE, "var/lib/dpkg/status": STATUS}


def test_reads_packages_and_distributions(tmp_path: Path) -> None:
    vendored = distribution("hidden", "1", f"{SITE}/setuptools/_vendor/hidden-1.dist-info/METADATA")
    contents = image_contents.read(archive(tmp_path / "i.tar", BASE, distribution("Typing_Extensions", "4") | vendored))
    assert (contents.image_id, contents.os_name, contents.os_version) == ("sha256:c0ffee", "debian", "13")
    assert contents.debian == (
        DebianPackage("bash", "5.2", "amd64", "bash"),
        DebianPackage("zlib1g", "1:1.3+b1", "amd64", "zlib"),
    )
    assert contents.python == (("typing-extensions", "4"),)


@pytest.mark.parametrize(
    ("layer", "left"),
    [
        ({f"{SITE}/.wh.a-1.dist-info": ""}, [("b", "1")]),
        ({"./opt/app/.wh.lib": ""}, []),
        ({f"{SITE}/.wh..wh..opq": "", **distribution("c", "1")}, [("c", "1")]),
        ({f"{SITE}/.wh.a-1.dist-info": "", **distribution("a", "2")}, [("a", "2"), ("b", "1")]),
        ({f"{SITE}/.wh.a": ""}, [("a", "1"), ("b", "1")]),
    ],
)
def test_a_later_layer_takes_away(tmp_path: Path, layer: dict[str, str], left: list[tuple[str, str]]) -> None:
    first = BASE | distribution("a", "1") | distribution("b", "1")
    assert list(image_contents.read(archive(tmp_path / "i.tar", first, layer)).python) == left


def test_the_last_list_of_packages_counts(tmp_path: Path) -> None:
    upgraded = {"var/lib/dpkg/status": STATUS.replace("5.2", "5.3")}
    assert image_contents.read(archive(tmp_path / "i.tar", BASE, upgraded)).debian[0].version == "5.3"


@pytest.mark.parametrize("layer", [{}, {"usr/lib/os-release": OS_RELEASE}, {"usr/lib/os-release": "ID=alpine\n"}])
def test_refuses_an_image_that_tells_no_packages(tmp_path: Path, layer: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"i\.tar is not a docker-archive of a Debian image"):
        image_contents.read(archive(tmp_path / "i.tar", layer))


def test_refuses_what_is_no_archive(tmp_path: Path) -> None:
    (tmp_path / "i.tar").write_text("nothing")
    with pytest.raises(ValueError, match="is not a docker-archive"):
        image_contents.read(tmp_path / "i.tar")
