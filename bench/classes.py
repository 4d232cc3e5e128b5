"""SandboxClasses of the measurements, and what their pods look like without a controller."""

from typing import Any

import yaml

from bench.ours import COLD_IMAGE, Sandboxes
from local_cluster.paths import ROOT
from sandbox_common.kube import KubeObject
from sandbox_crds.models import Sandbox, SandboxClass
from sandbox_operator.builders.pod import pod_spec

LEAN: dict[str, Any] = {"runtimeClasses": {"sysbox-runc": ""}}
"""The defaults of the API."""

DISCARDING: dict[str, Any] = {"workspace": {"discardOnSuspension": True}}
"""For measurements that suspend sandboxes, or let their idle clocks run: there is no work to lose."""


def chart() -> dict[str, Any]:
    """The class `default` of the chart: with resources, environment and idle timeout."""
    values = yaml.safe_load((ROOT / "helm" / "openhands-sandbox" / "values.yaml").read_text())
    return values["sandboxClasses"]["default"]


def spec_of(class_spec: dict[str, Any], sandboxes: Sandboxes) -> KubeObject:
    """Spec of the pods that the operator makes for the load's sandboxes with a class of this spec."""
    body = sandboxes.body(COLD_IMAGE, "any")
    name = "a-pod-of-the-load"
    return pod_spec(Sandbox.model_validate(body), SandboxClass.model_validate({"spec": class_spec}), name, name)
