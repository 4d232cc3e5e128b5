"""What the gateway writes to the API server, as plain objects. Pure."""

from collections.abc import Mapping

from sandbox_crds.api import MANAGED_BY_LABEL, MANAGER, SANDBOX_LABEL
from sandbox_crds.kube import KubeObject
from sandbox_crds.kube.resources import SANDBOXES, SECRETS
from sandbox_crds.models import Sandbox
from sandbox_crds.names import environment_secret_name
from sandbox_gateway.models import StartRequest


def sandbox_body(name: str, owner: str, request: StartRequest, *, environment_hash: str, class_name: str) -> KubeObject:
    """The Sandbox of a /start request. The environment itself stays out: only its keyed hash is in it."""
    return {
        "apiVersion": SANDBOXES.api_version,
        "kind": SANDBOXES.kind,
        "metadata": {"name": name, "labels": {MANAGED_BY_LABEL: MANAGER}},
        "spec": {
            "image": request.image,
            # Kubernetes would expand $(NAME) in it; `$$` is its way to write a plain `$`.
            "command": [word.replace("$", "$$") for word in request.command],
            "workingDir": request.working_dir,
            "environmentHash": environment_hash,
            "className": class_name,
            "resourceFactor": request.resource_factor,
            "runAsUser": request.run_as_user,
            "runAsGroup": request.run_as_group or request.fs_group,
            "fsGroup": request.fs_group,
            "runtimeClassName": request.runtime_class,
            "imagePullPolicy": request.image_pull_policy,
            # The gateway goes to the pod's address, and a cluster holds only about 10,000 Services.
            "service": "None",
            "sessionID": request.session_id,
            "owner": owner,
        },
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
