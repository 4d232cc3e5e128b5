"""Installed CustomResourceDefinitions that lack fields: what is missing, and what is written all the same."""

import copy
from typing import Any

import pytest

from sandbox_crds.manifests import schemas
from sandbox_crds.models import Condition, SandboxClass, SandboxStatus
from sandbox_operator.builders.pod import build_pod
from sandbox_operator.builders.refusals import refused
from sandbox_operator.reporting.conditions import patch
from sandbox_operator.watching.definitions import Definitions, pruned
from unit.sandbox_operator.samples import sandbox


def document(**changed: dict[str, Any]) -> dict[str, Any]:
    """As the API server publishes it, with these schemas instead of ours."""
    kinds = {**schemas(), **changed}
    published = {
        f"dev.openhands.sandbox.v1alpha1.{kind}": {
            **schema,
            "x-kubernetes-group-version-kind": [
                {"group": "sandbox.openhands.dev", "version": "v1alpha1", "kind": kind}
            ],
        }
        for kind, schema in kinds.items()
    }
    return {"components": {"schemas": {**published, "io.k8s.Other": {"type": "object"}}}}


def without(kind: str, *path: str) -> dict[str, Any]:
    """Our schema of this kind without one field."""
    schema = copy.deepcopy(schemas()[kind])
    node = schema
    for name in path[:-1]:
        node = node["items"] if name == "[]" else node["properties"][name]
    del node["properties"][path[-1]]
    return {kind: schema}


def looked(**changed: dict[str, Any]) -> Definitions:
    definitions = Definitions()
    definitions.look(document(**changed))
    return definitions


def test_our_own_lack_nothing() -> None:
    definitions = Definitions()
    assert definitions.look(document())
    assert definitions.missing == ()
    assert not definitions.look(document()), "nothing has changed"


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("SandboxClass", ("spec", "egress")),
        ("SandboxClass", ("spec", "pod", "hostUsers")),
        ("Sandbox", ("status", "lastLoss")),
        ("Sandbox", ("status", "conditions", "[]", "message")),
        ("SandboxPool", ("spec", "deferredInit")),
    ],
)
def test_what_is_missing_is_named(kind: str, path: tuple[str, ...]) -> None:
    named = ".".join(name for name in path if name != "[]")
    assert looked(**without(kind, *path)).missing == (f"{kind}.{named}",)


def test_what_is_newer_does_not_matter() -> None:
    newer = copy.deepcopy(schemas()["SandboxClass"])
    newer["properties"]["spec"]["properties"]["newer"] = {"type": "string"}
    assert looked(SandboxClass=newer).missing == ()


OLD = SandboxStatus()
NEW = SandboxStatus(
    pod_name="one",
    ports={"http": 60000},
    conditions=[
        Condition(type="Ready", status="True", reason="Ready", message="m", last_transition_time="2026-11-23T12:00:00Z")
    ],
)


@pytest.mark.parametrize(
    "lost", [(), ("podName",), ("ports",), ("conditions", "[]", "message"), ("podName", "ports", "conditions")]
)
def test_what_is_not_stored_is_written_once_and_no_more(lost: tuple[str, ...]) -> None:
    several = lost if "[]" not in lost else ()
    schema = copy.deepcopy(schemas()["Sandbox"])
    for name in several:
        del schema["properties"]["status"]["properties"][name]
    changed = {"Sandbox": schema} if several or not lost else without("Sandbox", "status", *lost)
    definitions = looked(**changed)
    first = definitions.kept("Sandbox", OLD, patch(OLD, NEW))
    assert bool(first) == (len(several) < 3)
    stored = SandboxStatus.model_validate(pruned(first, changed["Sandbox"]["properties"]["status"]))
    assert definitions.kept("Sandbox", stored, patch(stored, NEW)) == {}
    # Something else still gets through.
    assert definitions.kept("Sandbox", stored, {"podIP": "10.0.0.1"}) == {"podIP": "10.0.0.1"}


def test_a_value_is_taken_back_all_the_same() -> None:
    definitions = looked()
    assert definitions.kept("Sandbox", NEW, patch(NEW, OLD)) == patch(NEW, OLD)


def test_before_anything_is_known_all_is_written() -> None:
    assert Definitions().kept("Sandbox", OLD, patch(OLD, NEW)) == patch(OLD, NEW)


def test_a_class_without_egress_opens_nothing() -> None:
    pruned_class = SandboxClass.model_validate({"metadata": {"name": "default"}, "spec": {}})
    assert "CustomResourceDefinition is older" in refused(sandbox().spec, pruned_class)
    assert build_pod(sandbox(), pruned_class)["metadata"]["labels"]["sandbox.openhands.dev/egress"] == ""
    assert schemas()["SandboxClass"]["properties"]["spec"]["properties"]["egress"]["default"] == "Internet"
