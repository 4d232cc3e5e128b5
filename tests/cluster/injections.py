"""Failures to inject for real: what is wrong with each sandbox or its class, and what is to be said of it."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from cluster.other_images import FOREIGN
from cluster.site import Site
from cluster.storage import storage_class
from cluster.support import NAMESPACE, eventually
from failures.observer import Knows, exists, has_condition, has_ended, is_event, waits
from local_cluster.images import PAUSE
from local_cluster.node import FAILING_HANDLER, GVISOR
from sandbox_common.kube import Resource
from sandbox_common.kube.resources import EVENTS, PODS, SANDBOXES
from sandbox_common.reasons import Reason
from sandbox_crds.names import unkeyed_runtime_id
from sandbox_operator.reporting import delivery

OWNER = "default"
"""Of the sandboxes, by the API key that the chart makes."""
MISSING_IMAGE = "localhost/not-there:1"
UNDONE = f"{NAMESPACE}-undone"
"""Name of things that exist outside of namespaces and do not work: a StorageClass and a RuntimeClass."""
FULL, LEAN = f"{NAMESPACE}-full", f"{NAMESPACE}-lean"
"""Priority classes to which a quota applies, so that it does not touch other pods of the namespace."""

_TINY = {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "64Mi"}}


@dataclass(frozen=True)
class Injection:
    """`words` stand in the condition's message. `known` is what Kubernetes says first about it.

    `patience` is how many seconds the reason may take to be told, from the start on: Kubernetes' own time.
    """

    reason: Reason
    words: tuple[str, ...]
    resource: Resource
    known: Knows
    class_: Mapping[str, Any] = field(default_factory=dict[str, Any])
    sandbox: Mapping[str, Any] = field(default_factory=dict[str, Any])
    patience: float = 30
    remedy: str = ""
    """The one of this case, if it is not that of the reason."""


def volume(storage_class: str) -> dict[str, Any]:
    """What a SandboxClass says whose sandboxes have a volume of this StorageClass."""
    return {"workspace": {"persistent": True, "size": "1Gi", "storageClassName": storage_class}}


IDENTIFIER = "0a" * 32
"""In the form of a reference, and none to a kubelet: 64 hexadecimal digits name an image of the node."""

INJECTIONS: dict[str, Injection] = {
    "unschedulable": Injection(
        Reason.UNSCHEDULABLE,
        ("cannot be scheduled", "Insufficient cpu"),
        PODS,
        has_condition("PodScheduled", "False"),
        class_={"resources": {"requests": {"cpu": "64"}}},
    ),
    "image-missing": Injection(
        Reason.REGISTRY_UNAVAILABLE,
        ("ImagePullBackOff", MISSING_IMAGE),
        PODS,
        waits("ErrImagePull", "ImagePullBackOff"),
        sandbox={"image": MISSING_IMAGE},
    ),
    "image-absent": Injection(
        Reason.IMAGE_NOT_FOUND,
        ("ImagePullBackOff", MISSING_IMAGE, "is not present"),
        PODS,
        waits("ErrImageNeverPull"),
        sandbox={"image": MISSING_IMAGE, "imagePullPolicy": "Never"},
    ),
    "agent-server-absent": Injection(
        Reason.IMAGE_NOT_FOUND,
        ("ImagePullBackOff", MISSING_IMAGE, "is not present"),
        PODS,
        waits("ErrImageNeverPull"),
        class_={"agentServer": {"image": MISSING_IMAGE, "imagePullPolicy": "Never"}},
        sandbox={"command": []},
        remedy=delivery.REMEDIES[Reason.IMAGE_NOT_FOUND],
    ),
    "agent-server-missing": Injection(
        Reason.AGENT_SERVER_UNUSABLE,
        ("does not run", PAUSE.reference, "no such file"),
        PODS,
        waits("RunContainerError", "CrashLoopBackOff"),
        class_={"agentServer": {"image": PAUSE.reference, "imagePullPolicy": "Never"}},
        sandbox={"command": []},
    ),
    "agent-server-foreign": Injection(
        Reason.AGENT_SERVER_UNUSABLE,
        ("does not run", FOREIGN, "exec format error"),
        PODS,
        has_ended,
        class_={"agentServer": {"image": FOREIGN, "imagePullPolicy": "Never"}},
        sandbox={"command": []},
    ),
    "agent-server-not-to-copy": Injection(
        Reason.AGENT_SERVER_UNUSABLE,
        ("does not run", FOREIGN),
        PODS,
        waits("RunContainerError", "CrashLoopBackOff"),
        class_={"agentServer": {"image": FOREIGN, "imagePullPolicy": "Never", "delivery": "Copy"}},
        sandbox={"command": []},
    ),
    "image-of-root": Injection(
        Reason.IMAGE_USER_REFUSED,
        ("runAsNonRoot", "root"),
        PODS,
        waits("CreateContainerConfigError"),
        class_={"pod": {"omitIds": True}},
        sandbox={"image": FOREIGN},
    ),
    "image-malformed": Injection(
        Reason.INVALID_IMAGE_NAME,
        ("InvalidImageName", IDENTIFIER),
        PODS,
        waits("InvalidImageName"),
        sandbox={"image": IDENTIFIER},
    ),
    "out-of-memory": Injection(
        Reason.OOM_KILLED,
        ("ran out of memory", "OOMKilled", "137"),
        PODS,
        waits("CrashLoopBackOff"),
        sandbox={"command": ["tail", "/dev/zero"]},
        patience=60,
    ),
    "crash-loop": Injection(
        Reason.CRASH_LOOP_BACK_OFF,
        ("exit code 3", "no such configuration"),
        PODS,
        waits("CrashLoopBackOff"),
        sandbox={"command": ["sh", "-c", "echo no such configuration >&2; exit 3"]},
        patience=60,
    ),
    "storage-class-missing": Injection(
        Reason.STORAGE_CLASS_NOT_FOUND,
        ("ProvisioningFailed", f'"{UNDONE}-missing" not found'),
        EVENTS,
        is_event("ProvisioningFailed"),
        class_=volume(f"{UNDONE}-missing"),
        patience=60,
    ),
    "provisioner-missing": Injection(
        Reason.VOLUME_NOT_BOUND,
        ("ExternalProvisioning", "provisioner"),
        EVENTS,
        is_event("ExternalProvisioning"),
        class_=volume(UNDONE),
        patience=60,
    ),
    "quota-of-pods": Injection(
        Reason.QUOTA_EXCEEDED,
        ("exceeded quota", FULL, "pods"),
        SANDBOXES,
        exists,
        class_={"pod": {"priorityClassName": FULL}},
    ),
    "quota-of-memory": Injection(
        Reason.QUOTA_EXCEEDED,
        ("exceeded quota", LEAN, "requests.memory"),
        SANDBOXES,
        exists,
        class_={"pod": {"priorityClassName": LEAN}},
    ),
    "runtime-handler-missing": Injection(
        Reason.RUNTIME_HANDLER_NOT_FOUND,
        ("FailedCreatePodSandBox", UNDONE),
        EVENTS,
        is_event("FailedCreatePodSandBox"),
        class_={"runtimeClasses": {UNDONE: UNDONE}},
        sandbox={"runtimeClassName": UNDONE},
        patience=60,
    ),
    "runtime-class-missing": Injection(
        Reason.POD_REFUSED,
        (f'RuntimeClass "{UNDONE}-missing" not found',),
        SANDBOXES,
        exists,
        class_={"runtimeClasses": {UNDONE: f"{UNDONE}-missing"}},
        sandbox={"runtimeClassName": UNDONE},
    ),
    "runtime-fails": Injection(
        Reason.CREATE_CONTAINER_ERROR,
        ("FailedCreatePodSandBox", "failed to create"),
        EVENTS,
        is_event("FailedCreatePodSandBox"),
        class_={"runtimeClasses": {"": f"{UNDONE}-fails"}},
        patience=60,
    ),
    "runtime-nowhere": Injection(
        Reason.UNSCHEDULABLE,
        ("cannot be scheduled", "node affinity/selector"),
        PODS,
        has_condition("PodScheduled", "False"),
        class_={"runtimeClasses": {"": f"{UNDONE}-nowhere"}},
    ),
    "config-map-missing": Injection(
        Reason.CREATE_CONTAINER_ERROR,
        ("CreateContainerConfigError", 'configmap "settings" not found'),
        PODS,
        waits("CreateContainerConfigError"),
        sandbox={"env": [{"name": "MODE", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "mode"}}}]},
    ),
    "class-missing": Injection(
        Reason.SANDBOX_CLASS_NOT_FOUND,
        ("There is no SandboxClass nowhere in this namespace.",),
        SANDBOXES,
        exists,
        sandbox={"className": "nowhere"},
    ),
}


@contextmanager
def surrounded(site: Site) -> Generator[None]:
    """Meanwhile there is what makes sandboxes fail; all of it but the quotas is outside of namespaces."""
    body = {"apiVersion": "v1", "kind": "List", "items": _surroundings()}
    site.kubectl("apply", "--filename", "-", body=body)
    try:
        for quota in (FULL, LEAN):
            eventually(
                lambda quota=quota: site.kubectl("get", "resourcequota", quota, "--output", "json")["status"],
                lambda status: "used" in status,
            )
        yield
    finally:
        site.kubectl("delete", "--filename", "-", body=body)


def _surroundings() -> list[dict[str, Any]]:
    return [
        storage_class(UNDONE, "example.com/nobody"),
        _runtime_class(UNDONE, UNDONE),
        _runtime_class(f"{UNDONE}-fails", FAILING_HANDLER),
        # Its nodes have a label, and no node has it.
        {**_runtime_class(f"{UNDONE}-nowhere", GVISOR), "scheduling": {"nodeSelector": {"runtime": UNDONE}}},
        *(
            {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name}, "value": 0}
            for name in (FULL, LEAN)
        ),
        quota(FULL, {"pods": "0"}),
        quota(LEAN, {"requests.memory": "16Mi"}),
    ]


def _runtime_class(name: str, handler: str) -> dict[str, Any]:
    return {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": name}, "handler": handler}


def quota(priority_class: str, hard: dict[str, str]) -> dict[str, Any]:
    """A ResourceQuota that applies to pods of this priority class alone, and has its name."""
    scope = {"scopeName": "PriorityClass", "operator": "In", "values": [priority_class]}
    spec = {"hard": hard, "scopeSelector": {"matchExpressions": [scope]}}
    return {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": priority_class}, "spec": spec}


def class_body(name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    """A SandboxClass of very small sandboxes, unless `spec` says otherwise."""
    return {
        "apiVersion": "sandbox.openhands.dev/v1alpha1",
        "kind": "SandboxClass",
        "metadata": {"name": name},
        "spec": {"resources": _TINY, **spec},
    }


def sandbox_body(session_id: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    """A Sandbox that the gateway knows as this session, but of any class. It sleeps, unless `spec` says otherwise.

    It has the name that it would have without a naming key: the gateway finds it by owner and session id.
    """
    made = {"command": ["sleep", "600"], "service": "None", "sessionID": session_id, "owner": OWNER}
    return {
        "apiVersion": "sandbox.openhands.dev/v1alpha1",
        "kind": "Sandbox",
        "metadata": {"name": unkeyed_runtime_id(OWNER, session_id)},
        "spec": {**made, **spec},
    }
