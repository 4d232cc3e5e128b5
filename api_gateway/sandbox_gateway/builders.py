"""What the gateway writes to the API server, as plain objects. Pure."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from sandbox_crds import service_ports
from sandbox_crds.api import MANAGED_BY_LABEL, MANAGER, SANDBOX_LABEL
from sandbox_crds.kube import KubeObject
from sandbox_crds.kube.resources import SANDBOXES, SECRETS
from sandbox_crds.models import Sandbox
from sandbox_crds.names import environment_secret_name
from sandbox_gateway.requests import StartRequest

PAUSED: Mapping[str, Any] = {"suspend": True, "suspendReason": "Requested"}
"""Spec fields of a sandbox that a client has paused."""

RUNNING: Mapping[str, Any] = {"suspend": False, "suspendReason": ""}
"""Spec fields of a sandbox that shall run."""

PINNED: Mapping[str, Any] = {"warmStart": "Never"}
"""Spec fields of a sandbox whose session key a client has been told: no warm pod may bring another one."""


def sandbox_body(name: str, owner: str, request: StartRequest, *, environment_hash: str, class_name: str) -> KubeObject:
    """The Sandbox of a /start request. The environment itself stays out: only its keyed hash is in it."""
    requested = {field: value for field, value in requested_spec(request).items() if value is not None}
    return {
        "apiVersion": SANDBOXES.api_version,
        "kind": SANDBOXES.kind,
        "metadata": {"name": name, "labels": {MANAGED_BY_LABEL: MANAGER}},
        "spec": {
            **requested,
            **({"servicePorts": ports} if (ports := service_ports.named_in(request.environment)) else {}),
            "environmentHash": environment_hash,
            "className": class_name,
            # The gateway goes to the pod's address, and a cluster holds only about 10,000 Services.
            "service": "None",
            "sessionID": request.session_id,
            "owner": owner,
        },
    }


def restart_spec(sandbox: Sandbox, now: datetime) -> dict[str, Any]:
    """Spec fields that give a failed sandbox a new pod.

    The present pod's time is the API server's, `now` is this process's: the new time is later than either.
    """
    times = [now.replace(microsecond=0)]
    if sandbox.status.start_time:
        times.append(datetime.fromisoformat(sandbox.status.start_time) + timedelta(seconds=1))
    restarted_at = max(times).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {**RUNNING, "restartedAt": restarted_at}


def requested_spec(request: StartRequest) -> dict[str, Any]:
    """Spec fields that a client chooses and may change; None for those that it leaves to the class."""
    return {
        "image": request.image,
        # Kubernetes would expand $(NAME) in it; `$$` is its way to write a plain `$`.
        "command": [word.replace("$", "$$") for word in request.command],
        "workingDir": request.working_dir,
        "resourceFactor": request.resource_factor,
        "runAsUser": request.run_as_user,
        "runAsGroup": request.run_as_group or request.fs_group,
        "fsGroup": request.fs_group,
        "runtimeClassName": request.runtime_class,
        "imagePullPolicy": request.image_pull_policy,
        "idleTimeoutSeconds": request.idle_timeout_seconds,
    }


def environment_secret(sandbox: Sandbox, environment: Mapping[str, str]) -> KubeObject:
    """The Secret with a client's environment, deleted together with its Sandbox."""
    metadata = sandbox.metadata
    return {
        "apiVersion": SECRETS.api_version,
        "kind": SECRETS.kind,
        "metadata": {
            "name": environment_secret_name(metadata.name, metadata.uid),
            "labels": {SANDBOX_LABEL: metadata.name, MANAGED_BY_LABEL: MANAGER},
            "ownerReferences": [
                {
                    "apiVersion": SANDBOXES.api_version,
                    "kind": SANDBOXES.kind,
                    "name": metadata.name,
                    "uid": metadata.uid,
                }
            ],
        },
        # Immutable, so that the kubelet keeps no watch on it.
        "immutable": True,
        "stringData": dict(environment),
    }
