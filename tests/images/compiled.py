"""The project's packages with their hot path compiled, as the controller image has them: `python -m images.compiled`.

It prints a directory for PYTHONPATH. Needs a C compiler; raises CompileError when that, or anything else, fails.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from images.recipes import REPOSITORY
from local_cluster.paths import cache_dir

_SOURCES = ("pyproject.toml", "crds", "operator", "api_gateway")
_KEPT = 3


class CompileError(Exception):
    """The text has what the build said, and a remedy."""


def compiled() -> Path:
    """The directory, made unless there is one of the same sources. Raises CompileError."""
    place = cache_dir() / "compiled" / _key()
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place.parent, prefix="making-") as scratch:
            wheel = _build(Path(scratch))
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(Path(scratch, "packages"))
            try:
                Path(scratch, "packages").rename(place)
            except OSError:
                if not place.exists():  # else another run was faster
                    raise
    os.utime(place)
    _forget_old(place.parent)
    return place


def _key() -> str:
    digest = hashlib.sha256(sys.version.encode())
    for name in _SOURCES:
        source = REPOSITORY / name
        for path in [source] if source.is_file() else sorted(source.rglob("*.py")):
            digest.update(f"\0{path.relative_to(REPOSITORY)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def _build(scratch: Path) -> Path:
    """The wheel, by the tools of this environment: nothing is downloaded."""
    uv = Path(sys.executable).with_name("uv")
    command = [uv, "build", "--quiet", "--wheel", "--no-build-isolation", "--python", sys.executable]
    done = subprocess.run(
        [*command, "--out-dir", scratch, REPOSITORY],
        env=os.environ | {"HATCH_BUILD_HOOK_ENABLE_CUSTOM": "true"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        remedy = f"Install gcc and the headers of this Python ({sys.version_info.major}.{sys.version_info.minor})."
        raise CompileError(
            f"The data plane does not compile:\n{done.stdout}\n{remedy} Debian: gcc libc6-dev python3-dev"
        )
    return next(scratch.glob("*.whl"))


def _forget_old(directory: Path) -> None:
    made = sorted(directory.glob("[0-9a-f]*"), key=lambda path: path.stat().st_mtime, reverse=True)
    for old in made[_KEPT:]:
        shutil.rmtree(old, ignore_errors=True)


if __name__ == "__main__":
    try:
        print(compiled())
    except CompileError as error:
        sys.exit(str(error))
