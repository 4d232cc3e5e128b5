"""What the gateway writes to the API server, as plain objects. Pure."""

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sandbox_common import service_ports, times
from sandbox_common.keys import MasterKeys
from sandbox_common.kube import KubeObject
from sandbox_common.kube.resources import SANDBOXES, SECRETS
from sandbox_crds.api import MANAGED_BY_LABEL, MANAGER, SANDBOX_LABEL
from sandbox_crds.models import Sandbox
from sandbox_crds.names import environment_secret_name
from sandbox_gateway.contract.requests import StartRequest
from sandbox_gateway.sandboxes.changes import requested

_REVISION_DIGITS = 16

PAUSED: Mapping[str, Any] = {"suspend": True, "suspendReason": "Requested"}
"""Spec fields of a sandbox that a client has paused."""

RUNNING: Mapping[str, Any] = {"suspend": False, "suspendReason": ""}
"""Spec fields of a sandbox that shall run."""

PINNED: Mapping[str, Any] = {"warmStart": "Never"}
"""Spec fields of a sandbox whose session key a client has been told: no warm pod may bring another one."""


def sandbox_body(name: str, owner: str, request: StartRequest, *, environment_hash: str, class_name: str) -> KubeObject:
    """The Sandbox of a /start request. The environment itself stays out: only its keyed hash is in it."""
    return {
        "apiVersion": SANDBOXES.api_version,
        "kind": SANDBOXES.kind,
        "metadata": {"name": name, "labels": {MANAGED_BY_LABEL: MANAGER}},
        "spec": {
            **requested(request),
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
    """Spec fields that give a sandbox a new pod, whether it has one or is about to.

    The present pod's time is the API server's, `now` is this process's: the new time is later than either.
    """
    known = [now.replace(microsecond=0)]
    if sandbox.status.start_time:
        known.append(times.parse(sandbox.status.start_time) + timedelta(seconds=1))
    return {**RUNNING, "restartedAt": times.rfc3339(max(known))}


def environment_spec(environment: Mapping[str, str], keys: MasterKeys, sandbox: Sandbox) -> dict[str, Any]:
    """Spec fields that give a sandbox another environment than it has.

    Ports that only the present one names are taken away again. An environment that comes back has another revision than
    before: the operator deletes the Secrets of former ones.
    """
    environment_hash = keys.environment_hash(environment)
    revision = hashlib.sha256(f"{sandbox.spec.environment_revision}:{environment_hash}".encode()).hexdigest()
    former = sandbox.spec.service_ports.model_dump(by_alias=True, exclude_none=True)
    ports = {**dict.fromkeys(former), **service_ports.named_in(environment)}
    return {
        "environmentHash": environment_hash,
        "environmentRevision": revision[:_REVISION_DIGITS],
        **({"servicePorts": ports} if ports else {}),
    }


def environment_secret(sandbox: Sandbox, environment: Mapping[str, str], revision: str) -> KubeObject:
    """The Secret with a client's environment, deleted together with its Sandbox."""
    metadata = sandbox.metadata
    return {
        "apiVersion": SECRETS.api_version,
        "kind": SECRETS.kind,
        "metadata": {
            "name": environment_secret_name(metadata.name, metadata.uid, revision),
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
