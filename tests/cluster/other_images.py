"""Images without an agent server, from Debian's packages: another release, and small ones with little in them."""

import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from demo.commands import run
from images import base
from local_cluster.images import write_image
from local_cluster.paths import cache_dir

SUITE = "bookworm"
_PACKAGES = "base-files,bash,busybox-static,coreutils,dash,grep,libc-bin,musl,ncurses-bin,sed"
_APPLETS = ("cat", "echo", "env", "head", "id", "ls", "pwd", "rm", "uname")
_BUSYBOX, _MUSL = "bin/busybox", "musl/libc.so"


@dataclass(frozen=True)
class OtherImage:
    """`command` writes what it finds in its image to standard output, by the image's own programs, and gives `own`.

    `links` are names of busybox; without one, the image is the whole of Debian's packages. `env` are variables of it.
    """

    name: str
    command: str
    own: str
    links: tuple[str, ...] = ()
    has_musl: bool = False
    env: tuple[str, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def key(self) -> str:
        """Follows the content."""
        return sha256(repr((self, SUITE, _PACKAGES)).encode()).hexdigest()[:12]

    @property
    def reference(self) -> str:
        """Its name on the node."""
        return f"localhost/other-{self.name}:{self.key}"

    def archive(self) -> Path:
        """The docker-archive, from the cache or made now."""
        path = cache_dir() / "images" / f"other-{self.name}-{self.key}.tar"
        if not path.exists():
            new = path.with_suffix(".new")
            layer = _small(self) if self.links else _debian().read_bytes()
            write_image(new, self.reference, layer, {"Env": list(self.env), **self.config})
            new.rename(path)
        return path


OTHERS = (
    # Its libraries and preloads are of an older C library than the agent server's.
    OtherImage(
        "debian",
        "grep -h ^VERSION_CODENAME= /etc/os-release; echo $LD_LIBRARY_PATH",
        f"VERSION_CODENAME={SUITE}\n/lib/x86_64-linux-gnu",
        env=("LD_LIBRARY_PATH=/lib/x86_64-linux-gnu", "LD_PRELOAD=libnowhere.so", "PYTHONPATH=/nowhere", "OWN=debian"),
    ),
    OtherImage(
        "musl",
        "/lib/ld-musl-x86_64.so.1 2>&1 | head -n 1; echo $OWN",
        "musl libc (x86_64)\nmusl",
        links=("sh", *_APPLETS),
        has_musl=True,
        env=("OWN=musl", "PATH=/bin:/own"),
    ),
    OtherImage("shell-less", "busybox uname -s; echo $OWN", "Linux\nnone", links=_APPLETS, env=("OWN=none",)),
    OtherImage(
        "root",
        "id -u; echo $OWN",
        "10001\nroot",
        links=("sh", *_APPLETS),
        env=("OWN=root",),
        config={"User": "0", "WorkingDir": "/root"},
    ),
)

_FOREIGN_PROGRAM = b"\x7fELF\x02\x01\x01".ljust(16, b"\0") + b"\x02\0\x16\0\x01\0\0\0".ljust(48, b"\0")
"""The head of one for IBM Z."""
FOREIGN = f"localhost/other-architecture:{sha256(_FOREIGN_PROGRAM).hexdigest()[:12]}"
"""Has an agent server for another architecture. It runs as root."""


def foreign_archive() -> Path:
    """The docker-archive of FOREIGN."""
    path = cache_dir() / "images" / f"{FOREIGN.rpartition('/')[2].replace(':', '-')}.tar"
    if not path.exists():
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as layer:
            _add(layer, "any/bin/python", _FOREIGN_PROGRAM)
        write_image(path, FOREIGN, buffer.getvalue(), {})
    return path


def _debian() -> Path:
    """Its packages, unpacked and not configured, as a tar."""
    recipe = json.dumps([SUITE, _PACKAGES]).encode()
    path = cache_dir() / "images" / f"other-root-{sha256(recipe).hexdigest()[:12]}.tar"
    if not path.exists():
        new = path.with_suffix(".new.tar")
        run(base.command(new, SUITE, ["--variant=extract", f"--include={_PACKAGES}"]))
        new.rename(path)
    return path


def _small(image: OtherImage) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(_debian()) as root, tarfile.open(fileobj=buffer, mode="w") as layer:
        _add(layer, "bin/busybox", _content(root, _BUSYBOX))
        for link in image.links:
            _link(layer, f"bin/{link}", "busybox")
        if image.has_musl:
            _add(layer, "lib/ld-musl-x86_64.so.1", _content(root, _MUSL))
    return buffer.getvalue()


def _content(root: tarfile.TarFile, end: str) -> bytes:
    member = next(each for each in root.getmembers() if each.isfile() and each.name.endswith(end))
    file = root.extractfile(member)
    assert file
    return file.read()


def _add(layer: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), 0o755
    layer.addfile(entry, io.BytesIO(content))


def _link(layer: tarfile.TarFile, name: str, target: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = tarfile.SYMTYPE, target
    layer.addfile(entry)
