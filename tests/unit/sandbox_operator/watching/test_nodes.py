"""Which nodes take no more pods."""

from typing import Any

import pytest

from sandbox_operator.watching.nodes import Node, Taint, Toleration, decode

GPU = Taint("gpu", "a", "NoSchedule")
ANYTHING = Toleration(exists=True)
EVICTED_LATER = Toleration("node.kubernetes.io/not-ready", exists=True, effect="NoExecute")


def node(spec: dict[str, Any] | None = None, ready: str = "True") -> dict[str, Any]:
    conditions = [{"type": "MemoryPressure", "status": "False"}, {"type": "Ready", "status": ready}]
    return {"metadata": {"name": "one"}, "spec": spec, "status": {"conditions": conditions}}


def test_a_node_of_the_api_server() -> None:
    assert decode(node()) == Node("one")
    taints = [{"key": "gpu", "value": "a", "effect": "NoSchedule"}, {"key": "b", "effect": "NoExecute"}]
    found = decode(node({"unschedulable": True, "taints": taints}, ready="Unknown"))
    assert found == Node("one", (GPU, Taint("b", "", "NoExecute")), cordoned=True, ready=False)
    # A new one has no condition yet.
    assert decode({"metadata": {"name": "one"}}) == Node("one")


@pytest.mark.parametrize("bad", [{}, {"metadata": {}}, node({"taints": [{"key": "a"}]})])
def test_what_is_no_node_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="not a node"):
        decode(bad)


@pytest.mark.parametrize(
    ("found", "tolerations", "why"),
    [
        (Node("one"), (), ""),
        (Node("one", cordoned=True), (), "is cordoned"),
        (Node("one", cordoned=True), (ANYTHING,), ""),
        (Node("one", ready=False), (), "is not ready"),
        # The scheduler puts such pods there; to replace them would never end.
        (Node("one", ready=False), (ANYTHING,), ""),
        # What Kubernetes adds to each pod tolerates the eviction for a while, and nothing else.
        (
            Node("one", ready=False),
            (EVICTED_LATER,),
            "is not ready",
        ),
        (Node("one", (GPU,)), (), "has the taint gpu=a:NoSchedule"),
        (Node("one", (Taint("b", "", "NoExecute"),)), (), "has the taint b:NoExecute"),
        (Node("one", (Taint("b", "", "PreferNoSchedule"),)), (), ""),
        (Node("one", (GPU,)), (Toleration("gpu", exists=True),), ""),
        (Node("one", (GPU,)), (Toleration("gpu", value="a"),), ""),
        (Node("one", (GPU,)), (Toleration("gpu", value="b"),), "has the taint gpu=a:NoSchedule"),
        (Node("one", (GPU,)), (Toleration("gpu", exists=True, effect="NoExecute"),), "has the taint gpu=a:NoSchedule"),
        (Node("one", (GPU,)), (Toleration(),), "has the taint gpu=a:NoSchedule"),
        (Node("one", (GPU,)), (ANYTHING,), ""),
        (Node("one", (GPU, Taint("b", "", "NoExecute"))), (Toleration("gpu", True),), "has the taint b:NoExecute"),
    ],
)
def test_whether_a_pod_would_be_put_there(found: Node, tolerations: tuple[Toleration, ...], why: str) -> None:
    assert found.unfit(tolerations) == why
