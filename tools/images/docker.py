"""Builds the same Dockerfiles with a Docker engine; the images stay in the engine (kind loads them from there)."""

import shutil
import subprocess
from pathlib import Path

from images import host_settings, step
from images.recipes import Recipe
from local_cluster.errors import ClusterError
from local_cluster.progress import Progress


def answers() -> bool:
    """Whether there is a Docker client, and its engine answers within ten seconds."""
    try:
        return subprocess.run(["docker", "version"], capture_output=True, timeout=10).returncode == 0
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return False


def build(recipe: Recipe, reference: str, scratch: Path, log: Path, progress: Progress) -> None:
    """Build `reference` unless the engine has it. Raises ClusterError."""
    if shutil.which("docker") is None:
        raise ClusterError(
            "docker is not installed", remedy="install a Docker engine, or build as root with --engine buildah"
        )
    if subprocess.run(["docker", "image", "inspect", reference], capture_output=True).returncode == 0:
        return
    secrets = host_settings.secret_options(scratch)
    command = ["docker", "build", *secrets, f"--tag={reference}", *recipe.options()]
    # Mounts of secrets need BuildKit, which engines before 23 use only on request.
    step.run(f"build the image {recipe.title} (docker)", command, log, progress, {"DOCKER_BUILDKIT": "1"})
