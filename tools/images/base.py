"""The base image without an image registry: an equivalent of `debian:trixie-slim`, made by mmdebstrap."""

import hashlib
import json
import platform
import subprocess
from collections.abc import Iterable
from pathlib import Path

SUITE = "trixie"
# As in Debian's own slim images: no manuals, no translations, of the documentation only the licences.
OPTIONS = (
    "--variant=minbase",
    "--include=ca-certificates",
    "--dpkgopt=path-exclude=/usr/share/man/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-include=/usr/share/doc/*/copyright",
)
DOCKERFILE = 'FROM scratch\nADD base.tar /\nCMD ["bash"]\n'


def key() -> str:
    """Twelve hexadecimal digits that identify the recipe, without Debian's updates."""
    recipe = json.dumps([SUITE, OPTIONS, DOCKERFILE, platform.machine()])
    return hashlib.sha256(recipe.encode()).hexdigest()[:12]


def reference() -> str:
    """The name of the base image in the build's own storage."""
    return f"localhost/debian-{SUITE}:{key()}"


def command(tar: Path, suite: str = SUITE, options: Iterable[str] = OPTIONS) -> list[str]:
    """The command that writes the base's file system to `tar`; that of another suite, with these options."""
    return ["mmdebstrap", *options, suite, str(tar), *mirrors(_index_targets(), suite)]


def mirrors(index_targets: Iterable[str], suite: str = SUITE) -> list[str]:
    """The machine's own Debian mirrors as sources.list lines for the base's suite, or for another one.

    `index_targets` are lines `origin|codename|component|URI` of apt's package lists. On a machine that is not Debian,
    or whose lists are empty, the answer is empty, and mmdebstrap uses its own mirrors.
    """
    lines: list[str] = []
    for target in index_targets:
        origin, codename, component, uri = target.split("|")
        if origin == "Debian" and component == "main" and uri.startswith("http"):
            _, dash, pocket = codename.partition("-")
            line = f"deb {uri} {suite}{dash}{pocket} main"
            if pocket in ("", "updates", "security") and line not in lines:
                lines.append(line)
    return lines


def _index_targets() -> list[str]:
    fields = "$(ORIGIN)|$(CODENAME)|$(COMPONENT)|$(REPO_URI)"
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", fields, "Created-By: Packages"], capture_output=True, text=True
    )
    return listed.stdout.splitlines()
