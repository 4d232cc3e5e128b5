"""A namespace that is lost, and rebuilt by the commands of docs/backup.md; and backups that lack something."""

import json
from pathlib import Path

from control_plane.cluster_scope import VOLUMES
from control_plane.gateway.support import API_KEY, Replica, add_api_key, replica
from control_plane.operator.mortal import operator
from control_plane.pools.basin import Basin, Node
from control_plane.restore.backups import (
    BEFORE,
    KEPT,
    KEYS,
    add_claim,
    add_restored,
    being,
    follow,
    lose,
    message,
    owners,
    volume_spec,
    write_status,
)
from control_plane.waiting import eventually
from local_cluster.control_plane import ControlPlane
from sandbox_common.keys import MasterKeys
from sandbox_common.kube import KubeClient, KubeObject, Resource
from sandbox_common.kube.resources import PODS, SANDBOXES, SECRETS, VOLUME_CLAIMS
from sandbox_common.reasons import PoolReason, Reason
from sandbox_crds.api import SANDBOX_LABEL
from sandbox_crds.names import pod_name
from sandbox_operator.builders.owned import name_of

ENVIRONMENT = {"TOKEN": "of a client", "EMPTY": ""}


async def settled(gateway: Replica, session: str) -> tuple[str, str]:
    """The runtime id and the session key of a session, once the client has its key."""

    async def look() -> tuple[str, str] | None:
        found = await gateway.session(session)
        return (found["runtime_id"], found["session_api_key"]) if found["session_api_key"] else None

    return await eventually(look)


async def test_a_namespace_that_is_rebuilt_by_the_page_has_its_sandboxes_again(
    control_plane: ControlPlane,
    basin: Basin,
    second: KubeClient,
    master_keys: MasterKeys,
    tmp_path: Path,
) -> None:
    client, namespace = basin.client, basin.namespace
    node = Node(client, namespace)
    await add_api_key(client, namespace, API_KEY, "alice", policy=json.dumps({"classes": [KEPT]}))
    async with (
        operator(second, namespace, master_keys),
        replica(control_plane.kubeconfig, namespace, master_keys) as gateway,
        node.running_all(),
    ):
        for session in ("running", "paused"):
            await gateway.start(session, environment=ENVIRONMENT, sandbox_class=KEPT)
        sessions = {session: await settled(gateway, session) for session in ("running", "paused")}
        running, paused = (sessions[session][0] for session in ("running", "paused"))
        await basin.add_pool(replicas=1, className=KEPT)
        await basin.told(PoolReason.FILLED)
        await basin.add("warm", className=KEPT)
        warm = await basin.until(Reason.READY, "warm")
        assert (warm.status.launch, warm.status.volume_claim) == ("Warm", warm.status.pod_name)
        for name in (running, paused):
            await basin.until(Reason.READY, name)
        await gateway.post("/pause", paused)
        await basin.until(Reason.SUSPENDED, paused)
        before = {name: await being(basin, name, master_keys) for name in (running, paused, "warm")}
        uids = {name: (await basin.sandbox(name)).metadata.uid for name in before}
        assert before[running].environment == ENVIRONMENT
        await follow("Export", control_plane, namespace, tmp_path)
    await lose(basin)
    await follow("Restore", control_plane, namespace, tmp_path)
    async with (
        operator(second, namespace, master_keys),
        replica(control_plane.kubeconfig, namespace, master_keys) as gateway,
        node.running_all(),
    ):
        for name in (running, "warm"):
            await basin.until(Reason.READY, name, lambda it: it.status.sandbox_uid == it.metadata.uid)
        await basin.until(Reason.SUSPENDED, paused, lambda it: it.status.sandbox_uid == it.metadata.uid)
        # A suspended sandbox has its own again before it is resumed.
        assert {name: await being(basin, name, master_keys) for name in before} == before
        assert {session: await settled(gateway, session) for session in sessions} == sessions
        await gateway.post("/resume", paused)
        resumed = await basin.until(Reason.READY, paused)
        assert await being(basin, paused, master_keys) == before[paused]
        pod = await client.get(PODS, namespace, resumed.status.pod_name)
        mounted = [volume["persistentVolumeClaim"]["claimName"] for volume in pod["spec"]["volumes"][:1]]
        assert mounted == [before[paused].claim]
        secrets = {item["metadata"]["name"] for item in (await client.list(SECRETS, namespace))["items"]}
        assert not [secret for name, uid in uids.items() for secret in secrets if pod_name(name, uid) in secret]
        lost = await client.list(Resource("events.k8s.io", "v1", "events", "Event"), namespace)
        reasons = {(item["regarding"]["name"], item["reason"]) for item in lost["items"]}
        assert {name for name, reason in reasons if reason == "PodLost"} == {running, "warm"}
        assert not [name for name, reason in reasons if reason == "WorkspaceLost"]
        # It is the sandbox's again: it goes with it.
        await gateway.post("/stop", paused)
        await basin.gone(VOLUME_CLAIMS, before[paused].claim)
        await client.get(VOLUME_CLAIMS, namespace, before[running].claim)


async def test_what_a_backup_lacks_is_said_and_nothing_is_overwritten(
    control_plane: ControlPlane, basin: Basin, second: KubeClient, master_keys: MasterKeys
) -> None:
    client, namespace = basin.client, basin.namespace
    node = Node(client, namespace)
    other = await add_restored(basin, "other", status=False, suspend=True)
    reference = {"apiVersion": SANDBOXES.api_version, "kind": "Sandbox", "name": "other", "uid": other.metadata.uid}
    await client.create(VOLUMES, "", {"metadata": {"name": f"{namespace}-taken"}, "spec": _taken(namespace)})
    await add_restored(basin, "no-claim")
    await add_restored(basin, "no-status", status=False)
    await add_claim(basin, "no-status")
    await add_restored(basin, "no-label")
    await add_claim(basin, "no-label", labels={})
    await add_restored(basin, "owned")
    await add_claim(basin, "owned", ownerReferences=[reference])
    await add_restored(basin, "elsewhere")
    await add_claim(basin, "elsewhere", volume=f"{namespace}-taken")
    environment_hash = master_keys.environment_hash(ENVIRONMENT)
    lacking = await add_restored(basin, "no-environment", environmentHash=environment_hash)
    await add_claim(basin, "no-environment")
    before = {name: await owners(basin, name) for name in ("no-status", "no-label", "owned")}
    async with operator(second, namespace, master_keys):
        pod = pod_name("no-environment", lacking.metadata.uid)
        await eventually(lambda: client.find(PODS, namespace, pod))
        await node.bind(pod)
        words = f'secret "{pod}-env" not found'
        state = {"waiting": {"reason": "CreateContainerConfigError", "message": words}}
        await node.report(pod, phase="Pending", state=state)
        said = message(await basin.until(Reason.CREATE_CONTAINER_ERROR, "no-environment"))
        assert words in said
        assert "The client can send it again with /start." in said
        for name in ("no-label", "owned"):
            said = message(await basin.until(Reason.PENDING, name, lambda it: it.status.sandbox_uid != BEFORE))
            assert f"There is a PersistentVolumeClaim {name}-left that does not belong to this sandbox" in said
        said = message(await basin.until(Reason.VOLUME_NOT_BOUND, "elsewhere"))
        assert f'FailedBinding: volume "{namespace}-taken" already bound to a different claim.' in said
        for name in ("no-claim", "no-status"):
            sandbox = await basin.sandbox(name)
            await node.run(name_of(sandbox))
            await basin.until(Reason.READY, name)
        basin.name = "no-claim"
        assert len(await basin.events("WorkspaceLost")) == 1
        new = await basin.sandbox("no-status")
        assert (new.status.key_id, new.status.volume_claim) == (master_keys.key_id(new.metadata.uid), name_of(new))
        assert {name: await owners(basin, name) for name in before} == before

        # With its status, it is the sandbox of before, even though the operator has taken it for a new one.
        async with node.running_all():
            await write_status(basin, "no-status")
            again = await basin.until(
                Reason.READY,
                "no-status",
                lambda it: it.status.sandbox_uid != BEFORE and it.status.pod_uid not in {"", new.status.pod_uid},
            )
        assert again.status.key_id == KEYS.key_id(BEFORE)
        assert await owners(basin, "no-status") == (before["no-status"][0], [again.metadata.uid])
        assert again.status.volume_claim == "no-status-left"
        # So it can also be given a volume claim alone.
        for name in ("no-label", "owned"):
            assert await owners(basin, name) == before[name]
        await client.patch(
            VOLUME_CLAIMS, namespace, "no-label-left", {"metadata": {"labels": {SANDBOX_LABEL: "no-label"}}}
        )
        async with node.running_all():
            labelled = await basin.until(Reason.READY, "no-label")
        assert await owners(basin, "no-label") == (before["no-label"][0], [labelled.metadata.uid])
    await client.delete(VOLUMES, "", f"{namespace}-taken")


def _taken(storage_class: str) -> KubeObject:
    """A volume of another namespace's claim."""
    claim = {"namespace": "elsewhere", "name": "another", "uid": BEFORE}
    return {**volume_spec(storage_class), "claimRef": claim}
