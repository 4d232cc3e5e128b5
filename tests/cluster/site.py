"""A release on the running cluster, and the ways to it."""

import json
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from cluster.support import eventually
from demo.local_target import LocalTarget, node_port_url
from demo.release import CHART, NAME, Release, install
from demo.targets import Images
from demo.workloads import deploy_model
from local_cluster.paths import ROOT
from local_cluster.progress import Progress

VALUES = Path("tests", "cluster", "values.yaml")


@dataclass(frozen=True)
class Site:
    """One installed release, and the ways to it. `url` is its gateway's address outside of the node's network."""

    release: Release
    url: str
    gateway: httpx.Client

    def sdk_environment(self) -> dict[str, str]:
        """Variables for a process of the SDK; it may import what is below `tests`, and asks nobody for model prices."""
        return {
            "RUNTIME_API_KEY": self.release.api_key(),
            "OPENHANDS_SUPPRESS_BANNER": "1",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "HOME": "/tmp",
            "PYTHONPATH": str(ROOT / "tests"),
        }

    def kubectl(self, *arguments: str, body: object = None) -> Any:
        """Run kubectl in the release's namespace; with `--output json` gives the parsed answer."""
        text = self.release.kubectl(*arguments, stdin=None if body is None else json.dumps(body))
        return json.loads(text) if "json" in arguments else text

    def delete_processes(self) -> list[str]:
        """Begin to delete all pods of operator and gateway; gives their names."""
        selector = "--selector=app.kubernetes.io/component in (operator, gateway)"
        return self.kubectl("delete", "pods", selector, "--wait=false", "--output=name").split()

    def await_processes(self, deleted: list[str]) -> None:
        """Return once these pods are gone, others do their work, and the gateway's address answers."""
        self.kubectl("wait", "--for=delete", "--timeout=120s", *deleted)
        for process in ("operator", "gateway"):
            self.kubectl("rollout", "status", f"deployment/{NAME}-{process}", "--timeout=120s")
        # The node's rules for the Service follow its endpoints.
        eventually(self._is_reached, bool)

    def _is_reached(self) -> bool:
        try:
            return self.gateway.get("/list").is_success
        except httpx.TransportError:
            return False


def client_of(url: str, key: str) -> httpx.Client:
    """A client of the Runtime API with this API key, outside of the cluster."""
    return httpx.Client(base_url=url, headers={"X-API-Key": key}, timeout=60, trust_env=False)


@contextmanager
def installed(
    target: LocalTarget,
    images: Images,
    progress: Progress,
    namespace: str,
    *,
    pools: Mapping[str, object] | None = None,
    operator: Mapping[str, object] | None = None,
    source: Path = ROOT,
    chart: Path | None = None,
    discards: bool = False,
    entrances: Mapping[str, object] | None = None,
    **gateway: object,
) -> Generator[Site]:
    """A release with the model of the examples, while the context lasts.

    `pools`, `operator` and `gateway` are values of it. `source` is the checkout whose chart it is, unless there is a
    packaged `chart`. `discards`: its class `default`, which has no volume, accepts that suspensions lose /workspace.
    `entrances` are its values `ingress` and `httpRoute`.
    """
    values: dict[str, Any] = yaml.safe_load((source / VALUES).read_text())
    values["gateway"] |= gateway
    if operator:
        values["operator"] |= operator
    if discards:
        values["sandboxClasses"]["default"]["workspace"] = {"discardOnSuspension": True}
    values["sandboxPools"] = dict(pools or {})
    values |= entrances or {}
    values["anyImage"] = {"agentServerImage": images.agent_server}
    try:
        release = install(target, images, namespace, progress, values, chart or source / CHART)
        deploy_model(release)
        service = json.loads(release.kubectl("get", "service", f"{NAME}-gateway", "--output", "json"))
        url = node_port_url(service["spec"]["ports"][0]["nodePort"])
        with client_of(url, release.api_key()) as client:
            yield Site(release, url, client)
    finally:
        # A cluster that is taken down afterwards need not wait for it; the fixture `target` waits for one that stays.
        target.kubectl("delete", "namespace", namespace, "--wait=false")
        wide = "clusterroles,clusterrolebindings"
        target.kubectl("delete", wide, f"{NAME}-operator.{namespace}", "--ignore-not-found")
