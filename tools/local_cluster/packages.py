"""The programs that come from the distribution."""

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from local_cluster.daemons import PATH
from local_cluster.errors import ClusterError
from local_cluster.locks import locked
from local_cluster.paths import cache_dir
from local_cluster.progress import Progress

# Debian package: a program in it. CNI plugins are outside of PATH.
PROGRAMS = {
    "runc": "runc",
    "iptables": "iptables",
    "ipset": "ipset",
    "iproute2": "ip",
    "mount": "umount",
    "procps": "sysctl",
    "util-linux": "nsenter",
}
CNI_PACKAGE = "containernetworking-plugins"
CNI_DIRECTORIES = (Path("/usr/lib/cni"), Path("/opt/cni/bin"))


def cni_plugins() -> Path | None:
    """The directory of the CNI plugins; None when they are not installed."""
    return next((path for path in CNI_DIRECTORIES if (path / "bridge").exists()), None)


def missing() -> list[str]:
    """The Debian packages whose programs are missing."""
    packages = [package for package, program in PROGRAMS.items() if shutil.which(program, path=PATH) is None]
    return packages if cni_plugins() else [*packages, CNI_PACKAGE]


def ensure(log: Path, progress: Progress) -> None:
    """Install what the cluster needs. Raises ClusterError when that fails, or without apt-get."""
    install(missing(), log, progress)


def install(packages: Sequence[str], log: Path, progress: Progress) -> None:
    """Install Debian packages, one process at a time. Raises ClusterError when that fails, or without apt-get."""
    if packages:
        what = f"install {', '.join(packages)} (apt-get)"
        _with_lists(packages, what, lambda: _apt(["install", *_QUIETLY, *packages], log), log, progress)


def unpack(package: str, log: Path, progress: Progress, *, libraries: bool = False) -> Path:
    """The files of a Debian package, in the cache. Nothing is installed, so nothing is started, and no root is needed.

    With `libraries`, also those of the packages that it needs and that are not installed. Raises ClusterError as
    `install` does.
    """
    files = cache_dir() / "debian" / package
    files.parent.mkdir(parents=True, exist_ok=True)
    with locked(files.with_suffix(".lock")):
        if files.exists():
            return files
        with tempfile.TemporaryDirectory(dir=files.parent) as name:
            directory = Path(name)

            def attempt() -> bool:
                needed = _lacking(package) if libraries else []
                return _apt(["download", *{package, *needed}], log, directory)

            _with_lists([package], f"download {package} (apt-get)", attempt, log, progress)
            for archive in directory.glob("*.deb"):
                subprocess.run(["dpkg-deb", "--extract", archive, directory / "files"], env={"PATH": PATH}, check=True)
            return (directory / "files").rename(files)


def _lacking(package: str) -> list[str]:
    """The packages that apt-get would install for this one; none if it does not know it."""
    command = ["apt-get", "--simulate", "install", *_QUIETLY, package]
    said = subprocess.run(command, env={"PATH": PATH, "LC_ALL": "C.UTF-8"}, capture_output=True, text=True).stdout
    # An upgrade has the present version in brackets.
    return [words[1] for words in map(str.split, said.splitlines()) if words[:1] == ["Inst"] and words[2][0] == "("]


_QUIETLY = ("--yes", "--no-install-recommends")


def _with_lists(packages: Sequence[str], what: str, attempt: Callable[[], bool], log: Path, progress: Progress) -> None:
    """Run an attempt of apt-get, one process at a time, and once more with newer package lists if it fails."""
    if shutil.which("apt-get") is None:
        raise ClusterError(
            f"these are missing: {', '.join(packages)} (names of Debian packages)",
            remedy="install them with your distribution's package manager, then run this again",
        )
    log.parent.mkdir(parents=True, exist_ok=True)
    with progress.step(what), locked(cache_dir() / "apt.lock"):
        # Fetch package lists only when the present ones do not suffice: it takes longer than the installation.
        if not attempt():
            _apt(["update"], log)
            if not attempt():
                raise ClusterError(
                    f"apt-get {what.split()[0]} failed", log=log, remedy=f"apt-get install {' '.join(packages)}"
                )


def _apt(arguments: Iterable[str], log: Path, directory: Path | None = None) -> bool:
    environment = {"PATH": PATH, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    with log.open("ab") as output:
        return (
            subprocess.run(
                ["apt-get", "--quiet", "--option", "DPkg::Lock::Timeout=300", *arguments],
                cwd=directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            ).returncode
            == 0
        )
