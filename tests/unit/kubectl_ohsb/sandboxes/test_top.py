"""What sandboxes use, from metrics and pods."""

from typing import Any

from kubectl_ohsb.printing import columns
from kubectl_ohsb.sandboxes.top import Amounts, uses
from sandbox_crds.api import SANDBOX_LABEL


def pod(name: str, sandbox: str, *resources: dict[str, Any]) -> dict[str, Any]:
    containers = [{"name": str(index), "resources": found} for index, found in enumerate(resources)]
    return {"metadata": {"name": name, "labels": {SANDBOX_LABEL: sandbox}}, "spec": {"containers": containers}}


def metrics(name: str, *usage: dict[str, str]) -> dict[str, Any]:
    return {"metadata": {"name": name}, "containers": [{"name": "c", "usage": found} for found in usage]}


BOUNDS = {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"memory": "2Gi"}}


def test_containers_are_added_up() -> None:
    measured = metrics("p", {"cpu": "1500000n", "memory": "1024Ki"}, {"cpu": "1", "memory": "1Mi"})
    [use] = uses([measured], [pod("p", "sb-a", BOUNDS, {"requests": {"cpu": "1", "memory": "1Gi"}})], {"sb-a": "o"})
    assert use.used == Amounts(1001, 2 * 1024**2)
    assert use.requests == Amounts(1500, 2 * 1024**3)
    # One container has no limit, so the pod has none.
    assert use.limits == Amounts(None, None)
    assert use.cells() == ("sb-a", "o", "1001m", "1500m", "-", "2Mi", "2048Mi", "-")


def test_only_sandboxes_with_metrics_are_shown() -> None:
    pods = [pod("p", "sb-a", BOUNDS), pod("q", "sb-b", BOUNDS), pod("warm", "", BOUNDS)]
    found = uses([metrics("p", {"cpu": "1"}), metrics("warm", {"cpu": "1"})], pods, {"sb-a": "\x1bo", "sb-b": ""})
    assert [use.name for use in found] == ["sb-a"]
    assert found[0].document()["used"] == {"cpuMillicores": 1000, "memoryBytes": None}
    assert columns([found[0].cells()]).isprintable()


def test_what_is_no_quantity_is_unknown() -> None:
    assert Amounts.of([{"cpu": "\x1b[2J", "memory": "-1"}]) == Amounts()
