"""The commands of docs/backup.md, run as they are."""

import re
import subprocess
from pathlib import Path

from local_cluster.build import binary
from local_cluster.kubectl import environment
from local_cluster.paths import ROOT

_FIRST = re.compile(r"^### (\w+)\n(?:(?!^#).)*?^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def follow(heading: str, kubeconfig: Path, host: str, namespace: str, directory: Path) -> None:
    """Run the first commands below this heading, in a directory, for a namespace of the cluster at `host`."""
    commands = dict(_FIRST.findall((ROOT / "docs/backup.md").read_text()))[heading]
    variables = environment(kubeconfig, host) | {
        "NAMESPACE": namespace,
        "CRDS": str(ROOT / "helm/openhands-sandbox/crds"),
    }
    variables["PATH"] = f"{binary('kubectl').parent}:{variables['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands], cwd=directory, env=variables, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
