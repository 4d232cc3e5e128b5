"""From the release before this version to this version, and back: what one of them writes, the other reads."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import releases
from control_plane.cluster_scope import manifests
from control_plane.upgrade.versions import Town, Version, differences, operator_is
from control_plane.waiting import eventually
from local_cluster.control_plane import ControlPlane
from local_cluster.kubectl import apply
from sandbox_common.kube import KubeClient, KubeObject
from sandbox_common.kube.resources import SANDBOX_CLASSES, SANDBOX_POOLS, SANDBOXES
from sandbox_common.reasons import PoolReason, Reason
from sandbox_crds.manifests import schemas
from sandbox_operator.watching.definitions import missing

LACKING = [
    path
    for manifest in releases.definitions()
    for kind in [manifest["spec"]["names"]["kind"]]
    for path in missing(schemas()[kind], manifest["spec"]["versions"][0]["schema"]["openAPIV3Schema"], kind)
]
"""Fields of this version that the release's definitions do not have."""


async def define(control_plane: ControlPlane, definitions: list[KubeObject]) -> None:
    """Apply CustomResourceDefinitions as docs/upgrade.md says."""
    await asyncio.to_thread(apply, control_plane.kubeconfig, "127.0.0.1", definitions)


@pytest.fixture
async def former_definitions(control_plane: ControlPlane) -> AsyncIterator[None]:
    """The cluster has those of the release, until this version's are applied."""
    await define(control_plane, releases.definitions())
    yield
    await define(control_plane, manifests())


@pytest.fixture
async def town(
    control_plane: ControlPlane,
    former_definitions: None,
    client: KubeClient,
    namespace: str,
    master_key_dir: Path,
    tmp_path: Path,
) -> AsyncIterator[Town]:
    releases.unpack(tmp_path / "release")
    environment = releases.environment(tmp_path / "release")
    async with Town.of(control_plane, client, namespace, master_key_dir, tmp_path, environment) as town:
        yield town


async def stored(town: Town) -> dict[str, Any]:
    """What people and clients have set, and what is known of sandboxes, by resource and name."""
    found: dict[str, Any] = {}
    for resource in (SANDBOXES, SANDBOX_CLASSES, SANDBOX_POOLS):
        for item in (await town.basin.client.list(resource, town.basin.namespace))["items"]:
            status = item["status"] if resource is SANDBOXES else None
            parts = {"uid": item["metadata"]["uid"], "spec": item["spec"], "status": status}
            found[f"{resource.plural}/{item['metadata']['name']}"] = parts
    return found


async def cycle(town: Town, version: Version, *sessions: str) -> list[dict[str, Any]]:
    """Pause and resume these sessions by this version's gateway; how they look after each."""
    paused = await asyncio.gather(*(town.pause(version, session) for session in sessions))
    return [*paused, *await asyncio.gather(*(town.resume(version, session) for session in sessions))]


def unlike(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> list[str]:
    assert [one["uid"] for one in before] == [one["uid"] for one in after]
    return [*differences(before, after, other_pod=True)]


async def test_what_one_version_writes_the_other_reads(town: Town, control_plane: ControlPlane) -> None:
    old, new, basin = town.old, town.new, town.basin
    await old.lead()
    await town.fill_pool()
    await basin.told(PoolReason.FILLED, ready_replicas=1)
    warm, steady, _, _ = await asyncio.gather(
        town.start(old, "warm"),
        town.start(old, "steady", environment={"TOKEN": "t"}, idle_timeout_seconds=3600),
        town.start(old, "cycled", environment={"TOKEN": "t"}, resource_factor=2),
        town.start(old, "left", environment={"TOKEN": "t"}),
    )
    assert warm["status"]["launch"] == "Warm"
    reference = await cycle(town, old, "cycled", "left")
    left = await town.pause(old, "left")

    # The definitions come first. Without them, this version's operator is not ready, and its log names the fields.
    standby = await new.stand_by()
    if LACKING:
        await operator_is(standby, 503)
        await eventually(lambda: names(standby.log))
    before = await stored(town)
    await define(control_plane, manifests())
    await operator_is(standby, 200)
    assert old.operator
    assert await old.operator.status("/readyz") == 200
    assert [*differences(before, await stored(town))] == []

    await new.lead(old)
    assert unlike([left], [await town.look("left", Reason.SUSPENDED)]) == []
    assert unlike(reference[-1:], [await town.resume(new, "left")]) == []
    made = await town.start(new, "made", environment={"TOKEN": "t"})
    assert unlike(reference, await cycle(town, new, "cycled", "left")) == []
    assert unlike([left], [await town.pause(new, "left")]) == []
    made_reference = await cycle(town, new, "made")

    await old.lead(new)
    assert unlike(reference[-1:], [await town.resume(old, "left")]) == []
    assert unlike(reference, await cycle(town, old, "cycled", "left")) == []
    assert made["uid"] == made_reference[0]["uid"]
    assert unlike(made_reference, await cycle(town, old, "made")) == []

    # Nobody has touched these two: neither hand-over has, and what they are asked for is what they were.
    assert [*differences(warm, await town.look("warm", Reason.READY))] == []
    assert [*differences(steady, await town.look("steady", Reason.READY))] == []


async def names(log: str) -> bool:
    return all(path in log for path in LACKING)
