"""The chart, installed for the demo and for the cluster tests."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml

from demo.targets import NAMESPACE_LABELS, Images, Target
from local_cluster.errors import ClusterError
from local_cluster.paths import ROOT
from local_cluster.progress import Progress

CHART = Path("helm", "openhands-sandbox")
"""Below the repository's root."""
NAME = "openhands-sandbox"
NODE_PORT = 30080
MODEL_LABELS = {"app.kubernetes.io/name": "scripted-model"}


@dataclass(frozen=True)
class Release:
    """One installed release. `url` is the gateway's address inside the cluster."""

    target: Target
    namespace: str
    images: Images

    @property
    def url(self) -> str:
        return f"http://{NAME}-gateway.{self.namespace}.svc.cluster.local"

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """kubectl in the release's namespace. Raises ClusterError."""
        return self.target.kubectl("--namespace", self.namespace, *arguments, stdin=stdin)

    def api_key(self) -> str:
        """The gateway API key that the chart made."""
        secret = json.loads(self.kubectl("get", "secret", f"{NAME}-api-key", "--output", "json"))
        return base64.b64decode(secret["data"]["api-key"]).decode()


def values(images: Images) -> dict[str, Any]:
    """The chart's values for the demo: our images, a fixed node port, and egress from sandboxes to the model."""
    repository, _, tag = images.controller.rpartition(":")
    return {
        "image": {"repository": repository, "tag": tag},
        "gateway": {"service": {"type": "NodePort", "nodePort": NODE_PORT}},
        "networkPolicy": {
            "egressProfiles": {"Internet": {"rules": [{"to": [{"podSelector": {"matchLabels": MODEL_LABELS}}]}]}}
        },
        "test": {"agentServerImage": images.agent_server},
    }


def read_values(file: Path) -> dict[str, Any]:
    """A file of chart values. Raises ClusterError when it is not one."""
    try:
        values: Any = yaml.safe_load(file.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ClusterError(f"{file} is no YAML: {error}", remedy="see helm/openhands-sandbox/values.yaml") from error
    if not isinstance(values, dict):
        raise ClusterError(f"{file} holds no values by name", remedy="see helm/openhands-sandbox/values.yaml")
    return cast(dict[str, Any], values)


def installed(target: Target, namespace: str) -> Release:
    """The installed release, with its images. Raises ClusterError."""
    try:
        values = json.loads(target.helm("get", "values", NAME, "--namespace", namespace, "--output", "json"))
    except ClusterError as error:
        raise ClusterError(error.what, remedy="bring the demo up first: make demo") from error
    controller = f"{values['image']['repository']}:{values['image']['tag']}"
    return Release(target, namespace, Images(controller, values["test"]["agentServerImage"]))


def install(
    target: Target,
    images: Images,
    namespace: str,
    progress: Progress,
    overrides: Mapping[str, Any] | None = None,
    chart: Path = ROOT / CHART,
) -> Release:
    """Install or upgrade the release and wait until it is ready. Raises ClusterError.

    The namespace enforces the Pod Security level `restricted`, so each pod made here proves that it fits.
    """
    labels = {"pod-security.kubernetes.io/enforce": "restricted", **NAMESPACE_LABELS}
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}}
    target.kubectl("apply", "--filename", "-", stdin=json.dumps(body))
    apply_custom_resources(target)
    command = ["upgrade", "--install", NAME, str(chart), "--namespace", namespace]
    text = json.dumps({**values(images), **target.chart_values, **(overrides or {})})
    with progress.step(f"install the chart into the namespace {namespace}", lambda: unready(target, namespace)):
        try:
            target.helm(*command, "--wait", "--timeout", "3m", "--values", "-", stdin=text)
        except ClusterError as error:
            pods = f"kubectl --namespace {namespace} describe pods; kubectl --namespace {namespace} logs POD"
            raise ClusterError(f"{error}\n  {unready(target, namespace)}", remedy=pods) from error
    return Release(target, namespace, images)


def apply_custom_resources(target: Target) -> None:
    """Update the cluster's CustomResourceDefinitions to those of the chart. Raises ClusterError."""
    # Helm installs CRDs once and never upgrades them; under its name, it may install the chart elsewhere, too.
    apply = ["apply", "--server-side", "--force-conflicts", "--field-manager=helm"]
    target.kubectl(*apply, "--filename", str(ROOT / CHART / "crds"))


def unready(target: Target, namespace: str) -> str:
    """The pods of a namespace that are not ready, with reasons, in one line."""
    pods = json.loads(target.kubectl("get", "pods", "--namespace", namespace, "--output", "json"))["items"]
    words: list[str] = []
    for pod in pods:
        for container in pod["status"].get("containerStatuses", []):
            if not container["ready"]:
                state: dict[str, str] = container["state"].get("waiting") or container["state"].get("terminated") or {}
                words.append(f"{pod['metadata']['name']}: {state.get('reason', 'not ready yet')}")
    return "; ".join(words)
