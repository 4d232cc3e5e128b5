"""Backups that are damaged, incomplete or of another version, and what the commands of the page do with them."""

import asyncio
import json
import subprocess
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pytest

import backup_page
from control_plane.cluster_scope import NAMESPACES
from control_plane.gateway.support import API_KEY, add_api_key, replica
from control_plane.helm.release import Cluster
from control_plane.operator.mortal import operator
from control_plane.pools.basin import CONFIG_MAPS, Basin, Node
from control_plane.restore.backups import KEPT, Being, being, follow, lose, message
from local_cluster.control_plane import ControlPlane
from sampling import drawn
from sandbox_common.keys import MasterKeys
from sandbox_common.kube import KubeClient, resources
from sandbox_common.kube.resources import PODS, VOLUME_CLAIMS
from sandbox_common.reasons import Reason

NAMESPACE, CLAIMS, BUNDLES, SECRETS, SETTINGS, SANDBOXES = (
    f"objects/{name}.json"
    for name in ("1-namespace", "2-claims", "3-configmaps", "3-secrets", "4-settings", "5-sandboxes")
)
VOLUMES = "volumes.json"
FILES = (NAMESPACE, CLAIMS, BUNDLES, SECRETS, SETTINGS, SANDBOXES, VOLUMES)
EMPTY: dict[str, Any] = {"apiVersion": "v1", "kind": "List", "items": []}
ENVIRONMENT = {"TOKEN": "of a client"}


@dataclass
class Drill:
    """A namespace that is lost, and its backup in `directory`.

    Its sandbox `name` was as in `before`, and its pod had the UID `pod`.
    """

    control_plane: ControlPlane
    basin: Basin
    second: KubeClient
    keys: MasterKeys
    directory: Path
    name: str
    before: Being
    pod: str

    async def restore(self) -> subprocess.CompletedProcess[str]:
        """Try to follow the page."""
        arguments = self.control_plane.kubeconfig, "127.0.0.1", self.basin.namespace, self.directory
        return await asyncio.to_thread(backup_page.attempt, "Restore", *arguments)

    def items(self, file: str) -> list[dict[str, Any]]:
        return json.loads((self.directory / "backup" / file).read_text())["items"]

    def write(self, file: str, items: list[dict[str, Any]]) -> None:
        (self.directory / "backup" / file).write_text(json.dumps({**EMPTY, "items": items}))

    @asynccontextmanager
    async def running(self, *, nodes: bool = True) -> AsyncGenerator[None]:
        """Meanwhile an operator runs, and with `nodes` all pods."""
        async with operator(self.second, self.basin.namespace, self.keys):
            if not nodes:
                yield
                return
            async with Node(self.basin.client, self.basin.namespace).running_all():
                yield

    async def is_ready(self) -> None:
        """Return once the sandbox is ready in a new pod. Its restored status says that it is ready, too."""
        await self.basin.until(Reason.READY, self.name, lambda it: it.status.pod_uid not in {"", self.pod})

    async def is_whole(self) -> None:
        """Return once the sandbox runs and has all that it had."""
        async with self.running():
            await self.is_ready()
            assert await being(self.basin, self.name, self.keys) == self.before
        assert (await self.basin.client.get(CONFIG_MAPS, self.basin.namespace, "bundle"))["data"] == {"ca.crt": "of us"}


@pytest.fixture
async def drill(
    control_plane: ControlPlane, basin: Basin, second: KubeClient, master_keys: MasterKeys, tmp_path: Path
) -> Drill:
    """A sandbox of a client, with a volume and an environment. It is not exported yet."""
    await add_api_key(basin.client, basin.namespace, API_KEY, "alice", policy=json.dumps({"classes": [KEPT]}))
    await basin.client.create(
        CONFIG_MAPS, basin.namespace, {"metadata": {"name": "bundle"}, "data": {"ca.crt": "of us"}}
    )
    async with (
        operator(second, basin.namespace, master_keys),
        Node(basin.client, basin.namespace).running_all(),
        replica(control_plane.kubeconfig, basin.namespace, master_keys) as gateway,
    ):
        name = (await gateway.start("session", environment=ENVIRONMENT, sandbox_class=KEPT))["runtime_id"]
        await basin.until(Reason.READY, name)
        before = await being(basin, name, master_keys)
        pod = (await basin.sandbox(name)).status.pod_uid
    return Drill(control_plane, basin, second, master_keys, tmp_path, name, before, pod)


async def exported(drill: Drill) -> Drill:
    """Export the namespace, and lose it."""
    await follow("Export", drill.control_plane, drill.basin.namespace, drill.directory)
    await lose(drill.basin)
    return drill


async def test_a_file_that_is_missing_or_cut_off_is_named_and_nothing_is_written(
    control_plane: ControlPlane, client: KubeClient, namespace: str, tmp_path: Path
) -> None:
    await follow("Export", control_plane, namespace, tmp_path)
    backup = tmp_path / "backup"
    [exported] = json.loads((backup / NAMESPACE).read_text())["items"]
    exported["metadata"]["labels"]["restored"] = "true"
    (backup / NAMESPACE).write_text(json.dumps({**EMPTY, "items": [exported]}))
    for file, cut in product(FILES, (True, False)):
        whole = (backup / file).read_text()
        (backup / file).unlink()
        if cut:
            (backup / file).write_text(whole[: len(whole) // 2])
        done = await asyncio.to_thread(
            backup_page.attempt, "Restore", control_plane.kubeconfig, "127.0.0.1", namespace, tmp_path
        )
        assert done.returncode != 0
        assert ("JSONDecodeError" if cut else f"No such file or directory: '{file}'") in done.stderr
        (backup / file).write_text(whole)
    assert "restored" not in (await client.get(NAMESPACES, "", namespace))["metadata"]["labels"]


@pytest.mark.parametrize("files", drawn([*((file,) for file in FILES), (CLAIMS, VOLUMES)], 1), ids=str)
async def test_what_was_lost_of_a_backup_can_be_restored_later(drill: Drill, files: tuple[str, ...]) -> None:
    """Files are gone for good, it seems, and empty lists take their places. Later they are found."""
    basin, name, client, namespace = drill.basin, drill.name, drill.basin.client, drill.basin.namespace
    await exported(drill)
    items = {file: drill.items(file) for file in files}
    for file in files:
        drill.write(file, [])
    done = await drill.restore()
    async with drill.running(nodes=files not in {(SECRETS,), (VOLUMES,)}):
        if NAMESPACE in files:
            assert f'namespaces "{namespace}" not found' in done.stderr
        elif CLAIMS in files:
            await drill.is_ready()
            basin.name = name
            assert len(await basin.events("WorkspaceLost")) == 1
            # A volume that is restored is kept for the claim of this name, whoever makes it.
            has_volume = (await being(basin, name, drill.keys)).volume == drill.before.volume
            assert has_volume == (VOLUMES not in files)
        elif SECRETS in files:
            pod = await basin.pod(await basin.sandbox(name))
            assert await client.find(resources.SECRETS, namespace, f"{pod['metadata']['name']}-env") is None
        elif BUNDLES in files:
            await drill.is_ready()
        elif SETTINGS in files:
            await basin.until(Reason.SANDBOX_CLASS_NOT_FOUND, name)
        elif SANDBOXES in files:
            await asyncio.sleep(1)
            assert (await client.list(PODS, namespace))["items"] == []
        else:
            # The volume is still there, and bound to the claim of before.
            waits = message(await basin.until(Reason.VOLUME_NOT_BOUND, name))
            assert f'volume "{drill.before.volume}" already bound to a different claim' in waits
    for file in files:
        drill.write(file, items[file])
    if CLAIMS in files and VOLUMES in files:
        # The empty claim is not overwritten: it must go first.
        done = await drill.restore()
        assert done.returncode != 0
        assert ".spec.volumeName" in done.stderr
        async with drill.running():
            await basin.suspend(True, name)
            await basin.until(Reason.SUSPENDED, name)
            await client.delete(VOLUME_CLAIMS, namespace, drill.before.claim)
            await basin.gone(VOLUME_CLAIMS, drill.before.claim)
        # This attempt has freed the volume. Only the claim is missing: the whole would undo the suspension.
        claims = str(drill.directory / "backup" / CLAIMS)
        cluster = Cluster(drill.control_plane.kubeconfig, namespace)
        await asyncio.to_thread(cluster.run, "kubectl", "apply", "--server-side", "--filename", claims)
        await basin.suspend(False, name)
    else:
        done = await drill.restore()
        assert done.returncode == 0, done.stderr
    await drill.is_whole()


async def of_the_first_release(drill: Drill) -> None:
    """0.1.0 wrote neither `sandboxUID` nor, after a cold start, `volumeClaim`."""
    basin = drill.basin
    gone = {"status": {"sandboxUID": None, "volumeClaim": None}}
    await basin.client.patch(resources.SANDBOXES, basin.namespace, drill.name, gone, subresource="status")
    done = await (await exported(drill)).restore()
    assert done.returncode == 0, done.stderr
    await drill.is_whole()


async def of_a_newer_version(drill: Drill) -> None:
    """Its fields are named, and no Sandbox is made."""
    await exported(drill)
    basin, [sandbox] = drill.basin, drill.items(SANDBOXES)
    for part in ("spec", "status"):
        drill.write(SANDBOXES, [{**sandbox, part: sandbox[part] | {"ofALaterVersion": "yes"}}])
        done = await drill.restore()
        assert done.returncode != 0
        assert "ofALaterVersion" in done.stderr
    drill.write(SANDBOXES, [sandbox])
    assert (await drill.restore()).returncode == 0
    assert (await basin.sandbox(drill.name)).status.volume_claim == drill.before.claim
    await drill.is_whole()


async def without_its_status(drill: Drill) -> None:
    """As by `kubectl apply` or a GitOps tool: it is a new sandbox, until it gets its status."""
    await exported(drill)
    basin, name, [sandbox] = drill.basin, drill.name, drill.items(SANDBOXES)
    drill.write(SANDBOXES, [{**sandbox, "status": {}}])
    assert (await drill.restore()).returncode == 0
    async with drill.running():
        await drill.is_ready()
        assert (await basin.sandbox(name)).status.key_id != sandbox["status"]["keyID"]
        await basin.suspend(True, name)
        await basin.until(Reason.SUSPENDED, name)
        drill.write(SANDBOXES, [sandbox])
        await follow("Status", drill.control_plane, basin.namespace, drill.directory, NAME=name)
        await basin.suspend(False, name)
    await drill.is_whole()


@pytest.mark.parametrize("restored", drawn([of_the_first_release, of_a_newer_version, without_its_status], 1))
async def test_a_backup_of_another_kind(drill: Drill, restored: Callable[[Drill], Awaitable[None]]) -> None:
    await restored(drill)
