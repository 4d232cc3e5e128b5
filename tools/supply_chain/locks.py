"""The lock files of uv: which packages are installed, with versions and hashes."""

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from packaging.markers import InvalidMarker, Marker

from local_cluster.paths import ROOT

_PIN = re.compile(
    r"(?P<name>[a-z0-9]([a-z0-9-]*[a-z0-9])?)(\[[a-z0-9,-]+\])?==(?P<version>[A-Za-z0-9.!+_-]+)"
    r"(\s*;\s*(?P<marker>.*?))?(?P<hashes>(\s+--hash=sha256:[0-9a-f]{64})*)"
)
_BASE = {
    "implementation_name": "cpython",
    "os_name": "posix",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "platform_system": "Linux",
    "python_full_version": "3.13.5",
    "python_version": "3.13",
    "sys_platform": "linux",
}
"""Both images are Debian trixie with its Python."""


class Lock(StrEnum):
    """Path of each lock file below the repository."""

    CONTROLLER = "requirements.lock.txt"
    AGENT_SERVER = "agent_server_image/requirements.lock.txt"
    BUILD_TOOLS = "agent_server_image/build-tools.lock.txt"
    DEVELOPMENT = "requirements-dev.lock.txt"
    APP = "tests/cluster/openhands_app/requirements.lock.txt"


IN_IMAGES = frozenset({Lock.CONTROLLER, Lock.AGENT_SERVER})


@dataclass(frozen=True, slots=True)
class Pin:
    """One distribution. `hashes` are SHA-256 of the files that may be installed, `required_by` who asks for it."""

    name: str
    version: str
    marker: str = ""
    hashes: tuple[str, ...] = ()
    required_by: tuple[str, ...] = ()

    @property
    def in_images(self) -> bool:
        """Whether the images' Python and platform need it."""
        return not self.marker or Marker(self.marker).evaluate(_BASE)


def read(lock: Lock, repository: Path = ROOT) -> tuple[Pin, ...]:
    """The pins of a lock file. Raises ValueError, which names file and line."""
    try:
        return parse((repository / lock).read_text())
    except ValueError as error:
        raise ValueError(f"{lock}, {error}") from None


def parse(text: str) -> tuple[Pin, ...]:
    """All pins. Raises ValueError for other lines: a URL, a path, an option, a range, a wrong marker."""
    pins: list[Pin] = []
    number = 0
    for lines in re.split(r"(?<!\\)\n", text):
        first, number = number + 1, number + 1 + lines.count("\n")
        line = lines.replace("\\\n", " ").strip()
        if line.startswith("#"):
            wanted_by = line.removeprefix("#").strip().removeprefix("via").strip()
            if wanted_by and pins:
                pins[-1] = replace(pins[-1], required_by=(*pins[-1].required_by, wanted_by))
        elif line:
            pins.append(_pin(line, first))
    return tuple(pins)


def _pin(line: str, number: int) -> Pin:
    match = _PIN.fullmatch(line)
    if match is None:
        raise ValueError(f"line {number}: not a name==version with SHA-256 hashes: {line[:80]}")
    marker = match["marker"] or ""
    try:
        marker = marker and str(Marker(marker))
    except InvalidMarker:
        raise ValueError(f"line {number}: not a marker: {marker[:80]}") from None
    hashes = re.findall(r"sha256:([0-9a-f]{64})", match["hashes"])
    return Pin(match["name"], match["version"], marker, tuple(sorted(hashes)))
