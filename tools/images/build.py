"""Builds an image, or finds the existing one of the same files."""

import fcntl
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from images import base, docker
from images.buildah import Buildah
from images.recipes import KEY_LENGTH, RECIPES, ImageName, Recipe
from local_cluster.paths import cache_dir
from local_cluster.progress import Progress

# Archives kept of each image: an older one serves again when a change is taken back.
KEPT = 3
SCRATCH = "build-scratch-"


class Engine(StrEnum):
    BUILDAH = "buildah"
    DOCKER = "docker"


@dataclass(frozen=True)
class BuiltImage:
    """An image's full name, and its docker-archive; None when the image is in a Docker engine instead."""

    reference: str
    archive: Path | None


def build(image: ImageName | Recipe, engine: Engine = Engine.BUILDAH, progress: Progress | None = None) -> BuiltImage:
    """Build one of the project's images, or one by its recipe, unless it was already built from the same files.

    Raises ClusterError, which names the step that failed, its log and a remedy.
    """
    progress = progress or Progress()
    recipe = image if isinstance(image, Recipe) else RECIPES[image]
    base_key = base.key() if engine is Engine.BUILDAH else ""
    built = _result(recipe, base_key, engine)
    if built.archive is None or not built.archive.exists():
        with _workplace(progress) as scratch:
            recipe = recipe.snapshot(scratch / "context")
            built = _result(recipe, base_key, engine)
            log = _directory() / f"{built.reference.rpartition('/')[2].replace(':', '-')}.log"
            if built.archive is None:
                docker.build(recipe, built.reference, scratch, log, progress)
            elif not built.archive.exists():  # another process may have built it meanwhile
                buildah = Buildah(_directory() / "storage", scratch, log, progress)
                buildah.prepare()
                buildah.build(recipe, built.reference, built.archive)
    if built.archive is not None:
        built.archive.touch()
        _forget_old(recipe)
    return built


def _result(recipe: Recipe, base_key: str, engine: Engine) -> BuiltImage:
    """The result of a build of this recipe with its present files."""
    key = recipe.key(base_key)
    archive = _directory() / f"{recipe.title}-{key}.tar" if engine is Engine.BUILDAH else None
    return BuiltImage(recipe.reference(key), archive)


def _directory() -> Path:
    return cache_dir() / "images"


@contextmanager
def _workplace(progress: Progress) -> Generator[Path]:
    """A temporary directory in the cache, for one build at a time. Also removes the remains of killed builds."""
    directory = _directory()
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "build.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with progress.step("wait for another build of images"):
                fcntl.flock(lock, fcntl.LOCK_EX)
        for left in directory.glob(f"{SCRATCH}*"):
            shutil.rmtree(left, ignore_errors=True)
        with tempfile.TemporaryDirectory(dir=directory, prefix=SCRATCH, ignore_cleanup_errors=True) as scratch:
            yield Path(scratch)


def _forget_old(recipe: Recipe) -> None:
    """Delete the archives used longest ago, and their logs."""
    archives = _directory().glob(f"{recipe.title}-{'?' * KEY_LENGTH}.tar")
    for archive in sorted(archives, key=lambda path: path.stat().st_mtime, reverse=True)[KEPT:]:
        archive.unlink(missing_ok=True)
        archive.with_suffix(".log").unlink(missing_ok=True)
