"""Builds without Docker and without an image registry: mmdebstrap makes the base image, buildah does the rest."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from images import base, host_settings, step
from images.recipes import Recipe
from local_cluster import packages
from local_cluster.errors import ClusterError
from local_cluster.progress import Progress

PROGRAMS = ("buildah", "mmdebstrap")  # also the names of their Debian packages
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


@dataclass(frozen=True)
class Buildah:
    """`storage` holds the layers and is kept, `scratch` is a temporary directory, `log` takes all output."""

    storage: Path
    scratch: Path
    log: Path
    progress: Progress

    def prepare(self) -> None:
        """Provide the tools and the base image. Raises ClusterError."""
        if os.geteuid() != 0:
            raise ClusterError(
                "building images without Docker needs root",
                remedy="run it as root, or with a Docker engine: python -m images build --engine docker",
            )
        self._install_tools()
        self._query("rm", "--all")  # the remains of a killed build
        if not self._query("inspect", "--type=image", base.reference()):
            tar = self.scratch / "base.tar"
            self._run(f"make the base image, Debian {base.SUITE} (mmdebstrap)", base.command(tar))
            dockerfile = self.scratch / "Dockerfile"
            dockerfile.write_text(base.DOCKERFILE)
            self._run("store the base image", self._buildah("bud", f"--tag={base.reference()}", str(self.scratch)))
            tar.unlink()

    def build(self, recipe: Recipe, reference: str, archive: Path) -> None:
        """Build a Dockerfile and write it as a docker-archive with the image `reference`. Raises ClusterError."""
        options = [
            "--layers",
            f"--build-arg=BASE_IMAGE={base.reference()}",
            *host_settings.secret_options(self.scratch),
            f"--tag={recipe.repository}:latest",
            *recipe.options(),
        ]
        self._run(f"build the image {recipe.title}", self._buildah("bud", *options))
        new = self.scratch / archive.name
        target = f"docker-archive:{new}:{reference}"
        self._run(f"write {archive.name}", self._buildah("push", "--quiet", f"{recipe.repository}:latest", target))
        new.rename(archive)

    def _install_tools(self) -> None:
        missing = [program for program in PROGRAMS if shutil.which(program) is None]
        if not KEYRING.exists():  # not a Debian system
            missing.append("debian-archive-keyring")
        packages.install(missing, self.log, self.progress)

    def _query(self, *arguments: str) -> bool:
        """Whether this buildah command succeeds."""
        environment = {**os.environ, **self._environment()}
        return subprocess.run(self._buildah(*arguments), capture_output=True, env=environment).returncode == 0

    def _buildah(self, *arguments: str) -> list[str]:
        # In a mount namespace of its own: buildah leaves a mount behind for its storage.
        return [
            *("unshare", "--mount", "--", "buildah"),
            *(f"--root={self.storage}", f"--runroot={self.scratch / 'run'}"),
            *arguments,
        ]

    def _environment(self) -> dict[str, str]:
        # With the isolation `chroot` a build runs in containers too and has the host's network.
        return {"BUILDAH_ISOLATION": "chroot", "STORAGE_DRIVER": "overlay", "TMPDIR": str(self.scratch)}

    def _run(self, title: str, command: list[str], environment: dict[str, str] | None = None) -> None:
        nice = ["nice", "-n", "10", *command]
        step.run(title, nice, self.log, self.progress, {**self._environment(), **(environment or {})})
