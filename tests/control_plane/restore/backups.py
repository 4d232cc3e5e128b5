"""Sandboxes and volume claims as a restore makes them, and the commands of docs/backup.md."""

import asyncio
import base64
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import backup_page
from control_plane.cluster_scope import NAMESPACES, VOLUMES
from control_plane.conftest import MASTER
from control_plane.operator.world import World
from control_plane.waiting import eventually
from local_cluster.control_plane import ControlPlane
from sandbox_common.keys import MasterKeys
from sandbox_common.kube import KubeObject
from sandbox_common.kube.resources import PODS, SANDBOXES, SECRETS, VOLUME_CLAIMS
from sandbox_crds.api import SANDBOX_LABEL
from sandbox_crds.models import Sandbox
from sandbox_crds.names import environment_secret_name
from sandbox_operator.reporting.conditions import READY
from sandbox_operator.watching.pods import controller_uid

KEPT = "kept"
"""A class with volumes."""
BEFORE = "6a1f0000-0000-4000-8000-000000000000"
"""UID of a Sandbox that is no more."""
KEYS = MasterKeys.of({1: MASTER.encode()})


def volume_spec(storage_class: str) -> KubeObject:
    """Spec of a PersistentVolume of this class, which outlives its claim."""
    return {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": storage_class,
        "persistentVolumeReclaimPolicy": "Retain",
        "hostPath": {"path": "/nowhere"},
    }


@dataclass(frozen=True)
class Being:
    """What must be equal after a restore."""

    session_key: str
    claim: str
    volume: str
    environment: Mapping[str, str] | None


async def being(world: World, name: str, keys: MasterKeys) -> Being:
    """What the sandbox has, all of which is its own."""
    sandbox = await world.sandbox(name)
    metadata, status = sandbox.metadata, sandbox.status
    assert status.sandbox_uid == metadata.uid
    claim = await bound_claim(world, status.volume_claim)
    assert controller_uid(claim) == metadata.uid
    return Being(
        keys.session_key(status.key_id),
        status.volume_claim,
        claim["spec"]["volumeName"],
        await environment_of(world, sandbox) if sandbox.spec.environment_hash else None,
    )


async def bound_claim(world: World, name: str) -> KubeObject:
    """This volume claim once it is bound."""

    async def look() -> KubeObject | None:
        found = await world.client.get(VOLUME_CLAIMS, world.namespace, name)
        return found if found["status"]["phase"] == "Bound" else None

    return await eventually(look)


async def environment_of(world: World, sandbox: Sandbox) -> dict[str, str]:
    """What the Secret has that the sandbox's pods name."""
    metadata, revision = sandbox.metadata, sandbox.spec.environment_revision
    secret = await world.client.get(
        SECRETS, world.namespace, environment_secret_name(metadata.name, metadata.uid, revision)
    )
    return {name: base64.b64decode(value).decode() for name, value in secret["data"].items()}


async def lose(world: World) -> None:
    """Delete the namespace, and make an empty one of this name."""
    namespace = await world.client.get(NAMESPACES, "", world.namespace)
    for pod in (await world.client.list(PODS, world.namespace))["items"]:
        await world.client.delete(PODS, world.namespace, pod["metadata"]["name"], grace_seconds=0)
    await world.client.delete(NAMESPACES, "", world.namespace)

    async def is_gone() -> bool:
        found = await world.client.find(NAMESPACES, "", world.namespace)
        return found is None or found["metadata"]["uid"] != namespace["metadata"]["uid"]

    async def are_released() -> bool:
        volumes = (await world.client.list(VOLUMES, ""))["items"]
        mine = [item for item in volumes if item["spec"].get("claimRef", {}).get("namespace") == world.namespace]
        return all(item["status"]["phase"] == "Released" for item in mine)

    await eventually(is_gone)
    await eventually(are_released)


async def follow(heading: str, control_plane: ControlPlane, namespace: str, directory: Path, **more: str) -> None:
    """Run the page's commands below this heading."""
    arguments = heading, control_plane.kubeconfig, "127.0.0.1", namespace, directory
    await asyncio.to_thread(backup_page.follow, *arguments, **more)


async def add_restored(world: World, name: str, *, status: bool = True, **spec: Any) -> Sandbox:
    """A Sandbox as a restore makes it. `status`: with its status of before."""
    sandbox = await world.add(name, className=KEPT, **spec)
    if status:
        await write_status(world, name)
    return sandbox


async def write_status(world: World, name: str, **changes: str) -> None:
    """Write the status of before, with these changes."""
    status = {
        "sandboxUID": BEFORE,
        "keyID": KEYS.key_id(BEFORE),
        "volumeClaim": f"{name}-left",
        "podName": "",
        "podUID": "",
        "firstReadyTime": "2026-01-31T12:00:00Z",
        **changes,
    }
    await world.client.patch(SANDBOXES, world.namespace, name, {"status": status}, subresource="status")


async def add_claim(world: World, name: str, volume: str = "", **metadata: Any) -> None:
    """The volume claim of before, for this volume."""
    spec = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}},
        "storageClassName": world.namespace,
        **({"volumeName": volume} if volume else {}),
    }
    metadata = {"name": f"{name}-left", "labels": {SANDBOX_LABEL: name}, **metadata}
    await world.client.create(VOLUME_CLAIMS, world.namespace, {"metadata": metadata, "spec": spec})


async def owners(world: World, name: str) -> tuple[str, list[str]]:
    """UID of the volume claim of before, and those of its owners."""
    claim = await world.client.get(VOLUME_CLAIMS, world.namespace, f"{name}-left")
    metadata = claim["metadata"]
    return metadata["uid"], [owner["uid"] for owner in metadata.get("ownerReferences", ())]


def message(sandbox: Sandbox) -> str:
    """What the condition says."""
    condition = sandbox.status.condition(READY)
    assert condition
    return condition.message
