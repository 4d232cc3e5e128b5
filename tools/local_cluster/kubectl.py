"""kubectl and helm, pointed at a cluster by its kubeconfig."""

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from local_cluster.build import binary
from local_cluster.errors import ClusterError


def environment(kubeconfig: Path, host: str) -> dict[str, str]:
    """The caller's environment with KUBECONFIG, and without a proxy for the API server's host."""
    exempt = ",".join(filter(None, [os.environ.get("NO_PROXY") or os.environ.get("no_proxy"), host]))
    return {**os.environ, "KUBECONFIG": str(kubeconfig), "NO_PROXY": exempt, "no_proxy": exempt}


def apply(kubeconfig: Path, host: str, objects: Sequence[Mapping[str, Any]]) -> None:
    """Create or change objects by server-side apply. Raises ClusterError with kubectl's output."""
    manifest = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
    command = [str(binary("kubectl")), "apply", "--server-side", "--force-conflicts", "--field-manager=local-cluster"]
    done = subprocess.run(
        [*command, "-f", "-"], input=manifest, capture_output=True, text=True, env=environment(kubeconfig, host)
    )
    if done.returncode != 0:
        raise ClusterError(f"kubectl apply failed: {done.stderr.strip()}")
