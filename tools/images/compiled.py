"""The project's packages with their hot path compiled, as the controller image has them: `python -m images.compiled`.

It prints a directory for PYTHONPATH. It installs missing Debian packages.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from pathlib import Path

from local_cluster import packages
from local_cluster.errors import ClusterError
from local_cluster.paths import ROOT, cache_dir
from local_cluster.progress import Progress

_SOURCES = ("pyproject.toml", "crds", "common", "kubectl_plugin", "operator", "api_gateway")
_KEPT = 3


def compiled(progress: Progress | None = None) -> Path:
    """The directory, made unless one of the same sources exists. Raises ClusterError."""
    progress = progress or Progress()
    place = cache_dir() / "compiled" / _key()
    if not place.exists():
        packages.install(_missing(), cache_dir() / "apt.log", progress)
        place.parent.mkdir(parents=True, exist_ok=True)
        with (
            progress.step("compile the data plane"),
            tempfile.TemporaryDirectory(dir=place.parent, prefix="making-") as scratch,
        ):
            with zipfile.ZipFile(_build(Path(scratch), cache_dir() / "compile.log")) as archive:
                archive.extractall(Path(scratch, "packages"))
            try:
                Path(scratch, "packages").rename(place)
            except OSError:
                if not place.exists():  # otherwise another process was faster
                    raise
    os.utime(place)
    _forget_old(place.parent)
    return place


def _key() -> str:
    digest = hashlib.sha256(sys.version.encode())
    for name in _SOURCES:
        source = ROOT / name
        for path in [source] if source.is_file() else sorted(source.rglob("*.py")):
            digest.update(f"\0{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def _missing() -> list[str]:
    """The missing Debian packages. Only Debian's Python needs one for its headers."""
    compiler = [] if "CC" in os.environ or shutil.which("gcc") else ["gcc", "libc6-dev"]
    headers = Path(sysconfig.get_path("include"), "Python.h").exists()
    return compiler if headers else [*compiler, f"python{sys.version_info.major}.{sys.version_info.minor}-dev"]


def _build(scratch: Path, log: Path) -> Path:
    """The wheel, by the tools of this environment: nothing is downloaded."""
    compiler = os.environ.get("CC")
    if compiler and not shutil.which(compiler.split()[0]):
        raise ClusterError(f"there is no compiler {compiler}", remedy="set CC to one, or unset it for gcc")
    uv = Path(sys.executable).with_name("uv")
    command = [uv, "build", "--wheel", "--no-build-isolation", "--python", sys.executable]
    with log.open("wb") as output:
        done = subprocess.run(
            [*command, "--out-dir", scratch, ROOT],
            env=os.environ | {"HATCH_BUILD_HOOK_ENABLE_CUSTOM": "true"},
            stdout=output,
            stderr=output,
        )
    if done.returncode:
        raise ClusterError(
            "the data plane does not compile", log=log, remedy="it takes a C compiler and the headers of this Python"
        )
    return next(scratch.glob("*.whl"))


def _forget_old(directory: Path) -> None:
    made = sorted(directory.glob("[0-9a-f]*"), key=lambda path: path.stat().st_mtime, reverse=True)
    for old in made[_KEPT:]:
        shutil.rmtree(old, ignore_errors=True)


if __name__ == "__main__":
    try:
        print(compiled())
    except ClusterError as error:
        sys.exit(str(error))
