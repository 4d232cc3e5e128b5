"""The chart as a release in one namespace of a control plane."""

import base64
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from local_cluster.build import binary
from local_cluster.kubectl import environment
from sandbox_common.keys import api_key_hash

CHART = Path(__file__).parents[3] / "helm" / "openhands-sandbox"
NAME = "openhands-sandbox"


@dataclass(frozen=True)
class Cluster:
    """Helm and kubectl in one namespace of the control plane."""

    kubeconfig: Path
    namespace: str
    helm: str = "helm"

    def run(self, tool: str, *arguments: str, stdin: str | None = None) -> str:
        """Run the tool and return what it prints; its errors fail the test."""
        done = self.try_to(tool, *arguments, stdin=stdin)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def try_to(self, tool: str, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        command = [str(binary(tool)), "--namespace", self.namespace, *arguments]
        env = environment(self.kubeconfig, "127.0.0.1")
        return subprocess.run(command, input=stdin, capture_output=True, text=True, env=env)

    def install(self, *flags: str) -> str:
        return self.run(self.helm, "upgrade", "--install", NAME, str(CHART), *flags)

    def entries(self, secret: str) -> dict[str, str]:
        """What the Secret holds."""
        data = json.loads(self.run("kubectl", "get", "secret", secret, "--output", "json"))["data"]
        return {name: base64.b64decode(value).decode() for name, value in data.items()}

    def keys(self) -> tuple[dict[str, str], str]:
        """All versions of the master key, and the API key, whose hash is checked."""
        api_key = self.entries(f"{NAME}-api-key")["api-key"]
        assert self.entries(f"{NAME}-api-key-hash")["sha256"] == api_key_hash(api_key)
        return self.entries(f"{NAME}-master-key"), api_key
