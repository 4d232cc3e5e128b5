"""The objects that the gateway writes to the API server. Pure."""

import hashlib
from collections.abc import Mapping
from typing import Any

from sandbox_common import service_ports
from sandbox_common.keys import MasterKeys
from sandbox_common.kube import KubeObject
from sandbox_common.sandboxes.builders import new_sandbox
from sandbox_crds.models import Sandbox
from sandbox_gateway.contract.requests import StartRequest
from sandbox_gateway.sandboxes.changes import requested

_REVISION_DIGITS = 16


def sandbox_body(name: str, owner: str, request: StartRequest, *, environment_hash: str, class_name: str) -> KubeObject:
    """The Sandbox of a /start request. It has only the keyed hash of the environment."""
    return new_sandbox(
        name,
        {**requested(request), "className": class_name},
        owner=owner,
        session_id=request.session_id,
        environment=request.environment,
        environment_hash=environment_hash,
    )


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
