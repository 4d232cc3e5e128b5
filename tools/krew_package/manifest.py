"""The manifest of the plugin (krew.googlecontainertools.github.com/v1alpha2, krew 0.5.0). Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

NAME = "ohsb"
PROGRAM = "kubectl-ohsb"
_CAVEATS = """\
It needs Python {versions} as python3.
It reads and changes Sandboxes with your kubeconfig: the operator must be installed in the cluster.
"""


@dataclass(frozen=True, slots=True)
class Platform:
    """One that packages are made for, as krew and as uv name it."""

    os: str
    arch: str
    wheels: str

    @property
    def archive(self) -> str:
        """Name of its file."""
        return f"{PROGRAM}-{self.os}-{self.arch}.tar.gz"


PLATFORMS = (
    Platform("linux", "amd64", "x86_64-unknown-linux-gnu"),
    Platform("linux", "arm64", "aarch64-unknown-linux-gnu"),
    Platform("darwin", "arm64", "aarch64-apple-darwin"),
)


def manifest(version: str, url: str, versions: str, digests: Mapping[Platform, str]) -> dict[str, Any]:
    """`url`: where the archives are, without their names. `digests`: SHA-256 of each, in hexadecimal."""
    return {
        "apiVersion": "krew.googlecontainertools.github.com/v1alpha2",
        "kind": "Plugin",
        "metadata": {"name": NAME},
        "spec": {
            "version": f"v{version}",
            "shortDescription": "See and change OpenHands sandboxes",
            "description": "List, explain, start, pause, resume and stop sandboxes; manage API keys; show usage.",
            "caveats": _CAVEATS.format(versions=versions),
            "platforms": [
                {
                    "selector": {"matchLabels": {"os": platform.os, "arch": platform.arch}},
                    "uri": f"{url.rstrip('/')}/{platform.archive}",
                    "sha256": digest,
                    "bin": PROGRAM,
                }
                for platform, digest in digests.items()
            ],
        },
    }
