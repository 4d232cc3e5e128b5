"""The chart as Helm renders it for the page."""

import json
import subprocess
from collections.abc import Mapping
from typing import Any, cast

import yaml

from local_cluster.build import binary, ensure
from local_cluster.paths import ROOT
from local_cluster.progress import Progress
from reachability.ends import NAMESPACE, VALUES

CHART = ROOT / "helm" / "openhands-sandbox"
PAGE = ROOT / "docs" / "network.md"
NAME = "openhands-sandbox"


def rendered(values: Mapping[str, Any] = VALUES) -> list[dict[str, Any]]:
    """All objects. Builds Helm and cyclonus if they are missing."""
    ensure(["helm", "cyclonus"], Progress())
    command = [str(binary("helm")), "template", NAME, str(CHART), "--namespace", NAMESPACE, "--values", "-"]
    done = subprocess.run(command, input=json.dumps(values), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [cast("dict[str, Any]", document) for document in yaml.safe_load_all(done.stdout) if document]


def policies(manifests: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [item for item in manifests if item["kind"] == "NetworkPolicy"]
