"""CustomResourceDefinitions under the names of the Prometheus operator's, which take any spec.

Its own are in none of its Go modules.
"""

import json
import subprocess
import time
from typing import Any

from local_cluster.build import binary
from local_cluster.control_plane import ControlPlane
from local_cluster.kubectl import environment

_GROUP = "monitoring.coreos.com"
_KINDS = ("PodMonitor", "PrometheusRule", "ServiceMonitor")
_READY_SECONDS = 60


def install_prometheus_operator(control_plane: ControlPlane) -> None:
    """Monitors and rules, ready for use."""
    kubectl, env = str(binary("kubectl")), environment(control_plane.kubeconfig, "127.0.0.1")
    body = json.dumps({"apiVersion": "v1", "kind": "List", "items": [_definition(kind) for kind in _KINDS]})
    apply = [kubectl, "apply", "--server-side", "-f", "-"]
    subprocess.run(apply, input=body, env=env, check=True, capture_output=True, text=True)
    get = [kubectl, "get", ",".join(map(_plural, _KINDS))]
    deadline = time.monotonic() + _READY_SECONDS
    while subprocess.run(get, env=env, capture_output=True).returncode:
        assert time.monotonic() < deadline, "the API server does not serve monitors and rules"
        time.sleep(0.1)


def _plural(kind: str) -> str:
    return f"{kind.lower()}s"


def _definition(kind: str) -> dict[str, Any]:
    names = {"kind": kind, "plural": _plural(kind), "singular": kind.lower()}
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{_plural(kind)}.{_GROUP}"},
        "spec": {"group": _GROUP, "names": names, "scope": "Namespaced", "versions": [version]},
    }
