"""The pod that runs a sandbox's agent server."""

from collections.abc import Sequence
from typing import Any

from sandbox_common import service_ports
from sandbox_common.command import AGENT, DEFAULT_COMMAND, agent_port
from sandbox_common.kube import KubeObject
from sandbox_common.kube.resources import PODS
from sandbox_crds.api import EGRESS_LABEL, SANDBOX_LABEL
from sandbox_crds.models import Sandbox, SandboxClass
from sandbox_crds.names import CONTAINER
from sandbox_operator.builders import delivery, environment
from sandbox_operator.builders.additions import extra_mounts, extra_volumes, sidecars
from sandbox_operator.builders.confinement import confinement
from sandbox_operator.builders.eviction import eviction_annotation
from sandbox_operator.builders.launch import container_dir, launched
from sandbox_operator.builders.owned import name_of, owned, volume_claim_of
from sandbox_operator.builders.quantity import scaled
from sandbox_operator.watching.pods import KEY_ID_ANNOTATION, RESTARTED_ANNOTATION, WORKSPACE_VOLUME

_ALL_SANDBOXES = {"labelSelector": {"matchExpressions": [{"key": SANDBOX_LABEL, "operator": "Exists"}]}}

_SUDO_CAPABILITIES = ["AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"]
"""Capabilities that set-uid programs such as sudo, and package managers started by it, need. The agent server itself
has none of them, because it is not root."""


def runtime_class(sandbox: Sandbox, class_: SandboxClass) -> str:
    """The pod's runtime class; "" for the cluster's default.

    The class's entry "" is its default, which applies unless another entry does. So a client cannot choose less
    isolation than the class gives.
    """
    known = class_.spec.runtime_classes
    return known.get(sandbox.spec.runtime_class_name) or known.get("", "")


def is_runtime_class_dropped(sandbox: Sandbox, class_: SandboxClass) -> bool:
    """Whether the sandbox asks for a runtime class that its class does not list."""
    asked = sandbox.spec.runtime_class_name
    return bool(asked) and asked not in class_.spec.runtime_classes


def pod_labels(class_: SandboxClass) -> dict[str, str]:
    """The labels that all pods of a class have."""
    return {**class_.spec.pod.labels, EGRESS_LABEL: class_.spec.egress}


def build_pod(
    sandbox: Sandbox, class_: SandboxClass, foreign_key_id: str = "", pull_secrets: Sequence[str] = ()
) -> KubeObject:
    """The pod. Fields with their default value are omitted, because every byte has a cost at each write of the pod.

    `foreign_key_id` is the id of its key if the key is derived from the warm pod in which the sandbox first started.
    `pull_secrets` are names of Secrets of its owner. The pod passes the Pod Security Standard `restricted`, unless the
    class allows privilege escalation.
    """
    overlay = class_.spec.pod
    restarted = {RESTARTED_ANNOTATION: sandbox.spec.restarted_at} if sandbox.spec.restarted_at else {}
    foreign = {KEY_ID_ANNOTATION: foreign_key_id} if foreign_key_id else {}
    annotations = {**overlay.annotations, **eviction_annotation(class_, free=False), **restarted, **foreign}
    pod = owned(PODS, sandbox, name_of(sandbox), labels=pod_labels(class_), annotations=annotations)
    return pod | {"spec": pod_spec(sandbox, class_, name_of(sandbox), volume_claim_of(sandbox), pull_secrets)}


def pod_spec(
    sandbox: Sandbox, class_: SandboxClass, name: str, volume_claim: str, pull_secrets: Sequence[str] = ()
) -> dict[str, Any]:
    """The spec of a pod with this name, which the Secret with its keys has, too.

    `volume_claim` is the name of the claim of /workspace if the class has volumes.
    """
    overlay = class_.spec.pod
    spec: dict[str, Any] = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        # The container's command replaces the image's tini, so the pause process reaps orphaned processes.
        "shareProcessNamespace": True,
        "terminationGracePeriodSeconds": class_.spec.termination_grace_period_seconds,
        "securityContext": _pod_security(sandbox, class_),
        "containers": [_container(sandbox, class_, name)],
        "volumes": _volumes(class_, volume_claim),
    }
    if first := [*delivery.copiers(class_), *sidecars(class_)]:
        spec["initContainers"] = first
    if overlay.topology_spread_constraints:
        spec["topologySpreadConstraints"] = [{**_ALL_SANDBOXES, **each} for each in overlay.topology_spread_constraints]
    if overlay.host_users is not None:
        spec["hostUsers"] = overlay.host_users
    if handler := runtime_class(sandbox, class_):
        spec["runtimeClassName"] = handler
    if overlay.node_selector:
        spec["nodeSelector"] = dict(overlay.node_selector)
    if overlay.tolerations:
        spec["tolerations"] = overlay.tolerations
    if overlay.affinity:
        spec["affinity"] = overlay.affinity
    if overlay.priority_class_name:
        spec["priorityClassName"] = overlay.priority_class_name
    if names := list(dict.fromkeys((*overlay.image_pull_secrets, *pull_secrets))):
        spec["imagePullSecrets"] = [{"name": name} for name in names]
    return spec


def _pod_security(sandbox: Sandbox, class_: SandboxClass) -> dict[str, Any]:
    context: dict[str, Any] = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    if not class_.spec.pod.omit_ids:
        context |= {
            "runAsUser": sandbox.spec.run_as_user,
            "runAsGroup": sandbox.spec.run_as_group,
            "fsGroup": sandbox.spec.fs_group,
            "fsGroupChangePolicy": "OnRootMismatch",
        }
    return context


def _container(sandbox: Sandbox, class_: SandboxClass, name: str) -> dict[str, Any]:
    spec = sandbox.spec
    port = agent_port(spec.command)
    # NetworkPolicies open the declared ports by these names, whatever numbers the client has asked for.
    ports = {AGENT: port, **service_ports.of_sandbox(spec, class_.spec)}
    health = {"path": "/health", "port": port}
    container: dict[str, Any] = {
        "name": CONTAINER,
        "image": spec.image,
        "imagePullPolicy": spec.image_pull_policy,
        "command": _command(sandbox, class_),
        "ports": [{"name": name, "containerPort": number} for name, number in ports.items()],
        "envFrom": environment.sources(sandbox, name),
        "env": environment.variables(sandbox, class_, name),
        "startupProbe": {
            "httpGet": health,
            "periodSeconds": 1,
            "failureThreshold": class_.spec.startup_timeout_seconds,
        },
        # The kubelet runs this probe at once after the startup probe has succeeded, whatever its period
        # (Kubernetes 1.36, pkg/kubelet/prober/prober_manager.go, UpdatePodStatus).
        # There is no liveness probe: a restart of a busy agent server would kill the user's processes.
        "readinessProbe": {"httpGet": health, "periodSeconds": 5, "timeoutSeconds": 3},
        **confinement(class_, _privileges(class_)),
        "volumeMounts": [
            {"name": "workspace", "mountPath": environment.WORKSPACE},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108
        ],
    }
    if environment.has_home_volume(class_):
        container["volumeMounts"].append({"name": "home", "mountPath": environment.HOME})
    if class_.spec.pod.shm_size:
        container["volumeMounts"].append({"name": "shm", "mountPath": "/dev/shm"})  # noqa: S108
    container["volumeMounts"] += [*delivery.mounts(class_), *extra_mounts(class_)]
    if directory := container_dir(spec.working_dir):
        container["workingDir"] = directory
    resources = class_.spec.resources
    amounts = {
        "requests": scaled(resources.requests, spec.resource_factor),
        "limits": scaled(resources.limits, spec.resource_factor),
    }
    if given := {kind: amount for kind, amount in amounts.items() if amount}:
        container["resources"] = given
    return container


def _command(sandbox: Sandbox, class_: SandboxClass) -> list[str]:
    command = sandbox.spec.command or DEFAULT_COMMAND
    if class_.spec.agent_server is None:
        return launched(command, sandbox.spec.working_dir)
    return delivery.launched(class_.spec.agent_server, command, sandbox.spec.working_dir)


def _privileges(class_: SandboxClass) -> dict[str, Any]:
    if not class_.spec.pod.allow_privilege_escalation:
        return {}
    return {"allowPrivilegeEscalation": True, "capabilities": {"drop": ["ALL"], "add": _SUDO_CAPABILITIES}}


def _volumes(class_: SandboxClass, volume_claim: str) -> list[dict[str, Any]]:
    workspace, overlay = class_.spec.workspace, class_.spec.pod
    source: dict[str, Any] = (
        {"persistentVolumeClaim": {"claimName": volume_claim}}
        if workspace.persistent
        else {"emptyDir": {"sizeLimit": workspace.size}}
    )
    volumes: list[dict[str, Any]] = [
        {"name": WORKSPACE_VOLUME, **source},
        {"name": "tmp", "emptyDir": {"sizeLimit": overlay.tmp_size}},
    ]
    if environment.has_home_volume(class_):
        volumes.append({"name": "home", "emptyDir": {"sizeLimit": overlay.home_size}})
    if overlay.shm_size:
        volumes.append({"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": overlay.shm_size}})
    volumes += [*delivery.volumes(class_), *extra_volumes(class_)]
    return volumes
