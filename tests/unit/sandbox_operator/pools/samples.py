"""Pools and their pods to decide about."""

from dataclasses import replace
from datetime import datetime
from typing import Any

from sandbox_crds.models import SandboxPool
from sandbox_operator.pools.builders import template_of
from sandbox_operator.watching.pods import Pod
from unit.sandbox_operator.samples import IMAGE, KEYS, NOW, class_, condition, container

POOL_UID = "6a1f0000-0000-4000-8000-0000000000aa"


def pool(*, status: dict[str, Any] | None = None, generation: int = 1, **spec: Any) -> SandboxPool:
    """The SandboxPool `warm`."""
    metadata = {
        "name": "warm",
        "namespace": "here",
        "uid": POOL_UID,
        "generation": generation,
        "resourceVersion": "7",
        "creationTimestamp": "2026-11-23T12:00:00Z",
    }
    return SandboxPool.model_validate({"metadata": metadata, "spec": {"image": IMAGE, **spec}, "status": status or {}})


TEMPLATE = template_of(pool(), class_(), KEYS)
OLD_TEMPLATE = "0" * 32


def free(name: str, created: datetime = NOW, **fields: Any) -> Pod:
    """A free pod that has just been made and waits for a node."""
    made = Pod(
        name=f"warm-{name}",
        uid=f"uid-of-{name}",
        owner_uid=POOL_UID,
        created=created,
        image=IMAGE,
        resource_version="1",
        pool="warm",
        template=TEMPLATE,
        key_id=KEYS.key_id(f"warm-{name}"),
    )
    return replace(made, **fields)


def ready(name: str, created: datetime = NOW, **fields: Any) -> Pod:
    """A free pod that can be claimed."""
    answering = container(waiting_reason="", running_since=NOW, ready=True)
    on_node: dict[str, Any] = {"node": "node-1", "phase": "Running", "ready": condition(True), "container": answering}
    return free(name, created, **{**on_node, **fields})


def unbound(name: str, created: datetime = NOW, **fields: Any) -> Pod:
    """A free pod that waits for its volume, as the scheduler says of volumes that do not wait for a node."""
    words = "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims."
    waits: dict[str, Any] = {"volume_claim": f"warm-{name}", "scheduled": condition(False, "Unschedulable", words)}
    return free(name, created, **{**waits, **fields})


def failing(name: str, created: datetime = NOW, **fields: Any) -> Pod:
    """A free pod whose image cannot be pulled."""
    waits = container(waiting_reason="ImagePullBackOff", waiting_message="not found")
    on_node: dict[str, Any] = {"node": "node-1", "ready": condition(False), "container": waits}
    return free(name, created, **{**on_node, **fields})


def waiting(name: str, created: datetime = NOW, **fields: Any) -> Pod:
    """A free pod for which no node has room."""
    return free(name, created, **{"scheduled": condition(False, "Unschedulable", "0/1 nodes: no room"), **fields})
