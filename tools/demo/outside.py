"""Runs the SDK example outside of the cluster, with an SDK from the locked requirements."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from demo.commands import follow, run
from demo.release import Release
from demo.workloads import EXAMPLE
from local_cluster.errors import ClusterError
from local_cluster.locks import locked
from local_cluster.paths import ROOT
from local_cluster.progress import Progress

REQUIREMENTS = ROOT / "agent_server_image" / "requirements.lock.txt"
ENVIRONMENT = ROOT / ".venv-sdk"


def sdk_python(progress: Progress) -> Path:
    """Python of an environment with the unmodified SDK. Raises ClusterError."""
    return environment(progress, ENVIRONMENT, REQUIREMENTS)


def environment(progress: Progress, directory: Path, lock: Path) -> Path:
    """Python of an environment with the pins of this file, made if missing or outdated. Raises ClusterError."""
    with locked(directory.with_name(f"{directory.name}.lock")):
        return _environment(progress, directory, lock)


def _environment(progress: Progress, directory: Path, lock: Path) -> Path:
    python, stamp = directory / "bin" / "python", directory / ".requirements"
    wanted = lock.read_text()
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    uv = shutil.which("uv") or str(ROOT / ".venv" / "bin" / "uv")
    found = run([str(ROOT / "tools" / "find-python")]).strip()
    if not found:
        raise ClusterError("no Python 3.12 or newer found", remedy="install python3.13; the SDK needs it")
    with progress.step(f"make {directory.name}"):
        run([uv, "venv", "--quiet", "--clear", "--python", found, str(directory)])
        # Versions are exact, so there is nothing to resolve. One is lower than a package asks for.
        arguments = ["--quiet", "--no-deps", "--require-hashes", "--requirement", str(lock)]
        run([uv, "pip", "install", "--python", str(python), *arguments])
        stamp.write_text(wanted)
    return python


def run_example(release: Release, python: Path, url: str, model: Mapping[str, str]) -> tuple[int, str]:
    """Run the example on this machine against the gateway at `url`; returns exit code and transcript."""
    return follow([str(python), str(EXAMPLE), "--json"], env=settings(release, url, model))


def settings(release: Release, url: str, model: Mapping[str, str]) -> dict[str, str]:
    """The example's environment on this machine, for the gateway at `url`."""
    return {
        "RUNTIME_API_URL": url,
        "RUNTIME_API_KEY": release.api_key(),
        "AGENT_SERVER_IMAGE": release.images.agent_server,
        # The address is the project's own, so no proxy may be used for it.
        "NO_PROXY": ",".join(filter(None, [os.environ.get("NO_PROXY"), url.split("/")[2].split(":")[0]])),
        "PYTHONUNBUFFERED": "1",
        **model,
    }
