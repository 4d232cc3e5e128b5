"""A new Sandbox, and the Secret with its environment, for gateway and plugin. Pure."""

from collections.abc import Mapping
from typing import Any

from sandbox_common import service_ports
from sandbox_common.kube import KubeObject
from sandbox_common.kube.resources import SANDBOXES, SECRETS
from sandbox_crds.api import MANAGED_BY_LABEL, MANAGER, SANDBOX_LABEL
from sandbox_crds.models import Sandbox
from sandbox_crds.names import environment_secret_name


def new_sandbox(
    name: str,
    spec: Mapping[str, Any],
    *,
    owner: str,
    session_id: str,
    environment: Mapping[str, str],
    environment_hash: str,
) -> KubeObject:
    """A Sandbox with these fields of its spec. Of the environment it has only the hash, and the ports of services."""
    return {
        "apiVersion": SANDBOXES.api_version,
        "kind": SANDBOXES.kind,
        "metadata": {"name": name, "labels": {MANAGED_BY_LABEL: MANAGER}},
        "spec": {
            **spec,
            **({"servicePorts": ports} if (ports := service_ports.named_in(environment)) else {}),
            "environmentHash": environment_hash,
            # The gateway uses the pod's address, and a cluster has room for only about 10,000 Services.
            "service": "None",
            "sessionID": session_id,
            "owner": owner,
        },
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
