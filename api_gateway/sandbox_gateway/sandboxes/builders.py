"""The objects that the gateway writes to the API server. Pure."""

import hashlib
from collections.abc import Mapping
from typing import Any

from sandbox_common import service_ports
from sandbox_common.keys import MasterKeys
from sandbox_common.kube import KubeObject
from sandbox_common.kube.resources import SANDBOXES, SECRETS
from sandbox_crds.api import MANAGED_BY_LABEL, MANAGER, SANDBOX_LABEL
from sandbox_crds.models import Sandbox
from sandbox_crds.names import environment_secret_name
from sandbox_gateway.contract.requests import StartRequest
from sandbox_gateway.sandboxes.changes import requested

_REVISION_DIGITS = 16


def sandbox_body(name: str, owner: str, request: StartRequest, *, environment_hash: str, class_name: str) -> KubeObject:
    """The Sandbox of a /start request. It has only the keyed hash of the environment."""
    return {
        "apiVersion": SANDBOXES.api_version,
        "kind": SANDBOXES.kind,
        "metadata": {"name": name, "labels": {MANAGED_BY_LABEL: MANAGER}},
        "spec": {
            **requested(request),
            **({"servicePorts": ports} if (ports := service_ports.named_in(request.environment)) else {}),
            "environmentHash": environment_hash,
            "className": class_name,
            # The gateway uses the pod's address, and a cluster has room for only about 10,000 Services.
            "service": "None",
            "sessionID": request.session_id,
            "owner": owner,
        },
    }


def environment_spec(environment: Mapping[str, str], keys: MasterKeys, sandbox: Sandbox) -> dict[str, Any]:
    """Spec fields that give a sandbox another environment.

    They remove ports that only the present environment names. An environment that returns gets a new revision, since
    the operator deletes the Secrets of earlier revisions.
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
    """The Secret with a client's environment. It is deleted together with its Sandbox."""
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
        # Immutable, so kubelets do not watch it.
        "immutable": True,
        "stringData": dict(environment),
    }
