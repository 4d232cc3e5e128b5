"""The chart as Helm renders it, without a cluster."""

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml

type Manifest = dict[str, Any]

CHART = Path(__file__).parents[3] / "helm" / "openhands-sandbox"
RELEASE = "demo"
NAMESPACE = "agents"
PREFIX = f"{RELEASE}-openhands-sandbox"


class RefusedError(Exception):
    """What Helm says of values that it refuses."""


@dataclass(frozen=True)
class Helm:
    """A Helm that knows no cluster; its own files are below `home`."""

    binary: Path
    home: Path

    def run(self, *arguments: str, values: Mapping[str, Any] | None = None) -> str:
        """Run Helm with these values and return what it prints. Raises RefusedError."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("HELM_", "KUBE"))}
        for kind in ("CACHE", "CONFIG", "DATA"):
            environment[f"HELM_{kind}_HOME"] = str(self.home / kind.lower())
        done = subprocess.run(
            [str(self.binary), *arguments, "--values", "-"],
            input=json.dumps(dict(values or {})),
            capture_output=True,
            text=True,
            env={**environment, "KUBECONFIG": str(self.home / "no-kubeconfig")},
        )
        if done.returncode != 0:
            raise RefusedError(done.stderr)
        return done.stdout

    def render(self, values: Mapping[str, Any] | None = None, chart: Path = CHART) -> list[Manifest]:
        """All objects, hooks included. Raises RefusedError."""
        text = self.run("template", RELEASE, str(chart), "--namespace", NAMESPACE, values=values)
        return [cast("Manifest", document) for document in yaml.safe_load_all(text) if document]

    def notes(self, values: Mapping[str, Any] | None = None, *flags: str) -> str:
        """What Helm tells a person after an install. Raises RefusedError."""
        text = self.run(
            "install", RELEASE, str(CHART), "--namespace", NAMESPACE, "--dry-run=client", *flags, values=values
        )
        return text.partition("\nNOTES:\n")[2]


def find(manifests: list[Manifest], kind: str, suffix: str = "") -> Manifest:
    """The one object of this kind, and of this name after the release's prefix. Raises ValueError."""
    name = f"{PREFIX}-{suffix}" if suffix else None
    [found] = [item for item in manifests if item["kind"] == kind and name in (None, item["metadata"]["name"])]
    return found


def pod_templates(manifests: list[Manifest]) -> dict[str, Manifest]:
    """Metadata and spec of each pod that the chart makes, by component."""
    templates = [item["spec"]["template"] for item in manifests if item["kind"] == "Deployment"]
    templates += [item for item in manifests if item["kind"] == "Pod"]
    return {template["metadata"]["labels"]["app.kubernetes.io/component"]: template for template in templates}
