"""The images, and the names of their builds: pure functions of the files that they are made of."""

import hashlib
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from local_cluster.paths import ROOT

KEY_LENGTH = 12


class ImageName(StrEnum):
    CONTROLLER = "controller"
    AGENT_SERVER = "agent-server"
    AGENT_SERVER_FULL = "agent-server-full"


@dataclass(frozen=True)
class Recipe:
    """One image. `repository` is its name without the tag, `context` the Dockerfile's directory.

    `target` is a stage of the Dockerfile, "" for its last.
    """

    repository: str
    context: Path
    target: str = ""

    @property
    def dockerfile(self) -> Path:
        return self.context / "Dockerfile"

    @property
    def title(self) -> str:
        """The last part of the image's name; also the stem of its files in the cache."""
        return self.repository.rpartition("/")[2]

    def options(self) -> list[str]:
        """The arguments of its build, for both Docker and buildah. The last one is the context."""
        target = [f"--target={self.target}"] if self.target else []
        return [*target, f"--file={self.dockerfile}", str(self.context)]

    def reference(self, key: str) -> str:
        return f"{self.repository}:{key}"

    def key(self, base: str) -> str:
        """Twelve hexadecimal digits that identify the content: the Dockerfile, the files it copies, the `base`'s key.

        Raises FileNotFoundError when a copied path is missing.
        """
        digest = hashlib.sha256(base.encode())
        for path in self.inputs():
            content = path.read_bytes()
            executable = path.stat().st_mode & 0o100
            digest.update(f"\0{path.relative_to(self.context)}\0{executable}\0{len(content)}\0".encode() + content)
        return digest.hexdigest()[:KEY_LENGTH]

    def inputs(self) -> Iterator[Path]:
        """The Dockerfile and every file that it copies from its directory, in a fixed order; no Python caches."""
        yield self.dockerfile
        for name in copied_paths(self.dockerfile.read_text()):
            path = self.context / name
            files = sorted(path.rglob("*")) if path.is_dir() else [path]
            yield from (file for file in files if not file.is_dir() and "__pycache__" not in file.parts)

    def snapshot(self, target: Path) -> "Recipe":
        """Copy the inputs to `target`. An image built from there matches its key, even if files change meanwhile."""
        for path in self.inputs():
            copy = target / path.relative_to(self.context)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, copy)
        return replace(self, context=target)


RECIPES = {
    ImageName.CONTROLLER: Recipe("localhost/openhands-sandbox", ROOT),
    ImageName.AGENT_SERVER: Recipe("localhost/openhands-agent-server", ROOT / "agent_server_image"),
    ImageName.AGENT_SERVER_FULL: Recipe(
        "localhost/openhands-agent-server-full", ROOT / "agent_server_image", target="full"
    ),
}


def copied_paths(dockerfile: str) -> list[str]:
    """The paths of the build context that the text of a Dockerfile copies, without those from other stages.

    Raises ValueError for unsupported forms: ADD, patterns, variables, JSON arrays, here-documents.
    """
    paths: list[str] = []
    for line in dockerfile.replace("\\\n", " ").splitlines():
        instruction, *words = line.split() or [""]
        if instruction.upper() == "ADD":
            raise ValueError(f"ADD is not supported, use COPY: {line}")
        if instruction.upper() != "COPY" or any(word.startswith("--from=") for word in words):
            continue
        *sources, _ = [word for word in words if not word.startswith("--")]
        if any(re.search(r"[\[\]*?<$]", source) for source in sources):
            raise ValueError(f"only plain paths are supported: {line}")
        paths += sources
    return paths
