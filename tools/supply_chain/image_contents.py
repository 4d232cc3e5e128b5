"""The contents of an image, from its docker-archive: Debian packages and Python distributions."""

import json
import re
import tarfile
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path, PurePosixPath
from typing import IO

from packaging.utils import canonicalize_name

_OS_RELEASE = "usr/lib/os-release"
_DPKG_STATUS = "var/lib/dpkg/status"
_PYTHON = re.compile(r".*/site-packages/[^/]+\.dist-info/METADATA")
_REMOVED = ".wh."
_EMPTIED = ".wh..wh..opq"


@dataclass(frozen=True, slots=True, order=True)
class DebianPackage:
    """An installed binary package, and the source package that it was built from."""

    name: str
    version: str
    architecture: str
    source: str


@dataclass(frozen=True, slots=True)
class Contents:
    """`image_id` is the digest of the image's configuration; `python` are normalized names and versions."""

    image_id: str
    os_name: str
    os_version: str
    debian: tuple[DebianPackage, ...]
    python: tuple[tuple[str, str], ...]


def read(archive: Path) -> Contents:
    """Read a docker-archive. Raises ValueError when it is none, or not of a Debian image."""
    try:
        with tarfile.open(archive) as tar:
            (image,) = json.load(_member(tar, "manifest.json"))
            files: dict[str, bytes] = {}
            for layer in image["Layers"]:
                with tarfile.open(fileobj=_member(tar, layer)) as changes:
                    apply_layer(files, changes)
        release = _assignments(files[_OS_RELEASE].decode())
        return Contents(
            image_id=f"sha256:{PurePosixPath(image['Config']).stem}",
            os_name=release["ID"],
            os_version=release["VERSION_ID"],
            debian=parse_dpkg_status(files[_DPKG_STATUS].decode()),
            python=tuple(sorted(_distribution(files[path].decode()) for path in files if _PYTHON.fullmatch(path))),
        )
    except (tarfile.TarError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{archive} is not a docker-archive of a Debian image: {error!r}") from error


def apply_layer(files: dict[str, bytes], layer: tarfile.TarFile) -> None:
    """Update the package databases, by path without a leading slash, with the files of a layer."""
    added: dict[str, bytes] = {}
    for member in layer:
        path = PurePosixPath(member.name.removeprefix("./"))
        if path.name == _EMPTIED:
            _remove_below(files, str(path.parent))
        elif path.name.startswith(_REMOVED):
            _remove_below(files, str(path.with_name(path.name.removeprefix(_REMOVED))))
        elif str(path) in {_OS_RELEASE, _DPKG_STATUS} or _PYTHON.fullmatch(str(path)):
            content = layer.extractfile(member)
            if content is not None:
                added[str(path)] = content.read()
    files |= added


def parse_dpkg_status(text: str) -> tuple[DebianPackage, ...]:
    """The packages that are installed, in the order of their names."""
    packages: list[DebianPackage] = []
    for paragraph in text.strip().split("\n\n"):
        fields = HeaderParser().parsestr(paragraph)
        if fields["Status"] == "install ok installed":
            source = (fields["Source"] or fields["Package"]).partition(" ")[0]
            packages.append(DebianPackage(fields["Package"], fields["Version"], fields["Architecture"], source))
    return tuple(sorted(packages))


def _distribution(metadata: str) -> tuple[str, str]:
    fields = HeaderParser().parsestr(metadata)
    return canonicalize_name(fields["Name"]), fields["Version"]


def _assignments(text: str) -> dict[str, str]:
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line)
    return {name: value.strip('"') for name, _, value in pairs}


def _member(tar: tarfile.TarFile, name: str) -> IO[bytes]:
    content = tar.extractfile(name)
    if content is None:
        raise ValueError(f"{name} is no file")
    return content


def _remove_below(files: dict[str, bytes], path: str) -> None:
    for known in [known for known in files if known == path or known.startswith(f"{path}/")]:
        del files[known]
