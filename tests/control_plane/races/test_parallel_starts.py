"""A hundred clients start one session at the same time, through two replicas: it is one sandbox."""

import asyncio
from collections import Counter
from pathlib import Path

from control_plane.audit import Audit
from control_plane.gateway.support import API_KEY, USER_AGENT, add_api_key
from control_plane.naming import runtime_id
from control_plane.races.gateways import OWNER, PUBLIC_URL, REPLICAS, Answer, Gateways
from local_cluster.control_plane import ControlPlane
from sampling import count
from sandbox_common.keys import MasterKeys
from sandbox_common.kube import Informer, KubeClient, KubeObject
from sandbox_common.kube.resources import SANDBOX_POOLS, SANDBOXES

ROUNDS = count(40, 200)
CLIENTS = 100


async def test_of_parallel_starts_one_makes_a_sandbox_and_all_answers_name_it(
    control_plane: ControlPlane,
    client: KubeClient,
    namespace: str,
    master_keys: MasterKeys,
    master_key_dir: Path,
    audit: Audit,
) -> None:
    """The session is the same in all rounds and stopped in between, so each replica remembers what is gone."""
    await add_api_key(client, namespace, API_KEY, OWNER)
    # Without a pool all keys would be settled from the beginning.
    pool = {"metadata": {"name": "pool"}, "spec": {"image": "i", "replicas": 0}}
    kind = {"apiVersion": SANDBOX_POOLS.api_version, "kind": SANDBOX_POOLS.kind}
    await client.create(SANDBOX_POOLS, namespace, {**kind, **pool})
    name = runtime_id(OWNER, "s")
    uids: list[str] = []

    def made(_: str, item: KubeObject | None) -> None:
        if item and item["metadata"]["uid"] not in uids:
            uids.append(item["metadata"]["uid"])

    following = asyncio.create_task(Informer(client, SANDBOXES, namespace, lambda item: item, on_change=made).run())
    arguments = (
        f"--namespace={namespace}",
        f"--master-key-dir={master_key_dir}",
        "--start-hold-seconds=0",
        "--log-level=WARNING",
    )
    keys: list[str] = []
    async with Gateways.running([control_plane.kubeconfig] * REPLICAS, *arguments) as gateways:
        for number in range(ROUNDS):
            starts = [gateways.call(n % REPLICAS, "POST", "/start", image="i", session_id="s") for n in range(CLIENTS)]
            body = _only(await asyncio.gather(*starts))
            assert (body["runtime_id"], body["url"], body["status"]) == (name, PUBLIC_URL, "starting")
            keys.append(body["session_api_key"])
            stopped = await gateways.call(number % REPLICAS, "POST", "/stop", runtime_id=name)
            assert stopped is not None
            assert (stopped.status, stopped.body["status"]) == (200, "stopped")
    writes = await audit.writes(client, namespace, USER_AGENT)
    following.cancel()

    codes = Counter(write.code for write in writes)
    print(f"{ROUNDS} rounds of {CLIENTS} clients; API writes of the gateways by status code: {dict(codes)}")
    done = Counter((write.what, write.name) for write in writes if write.code < 300)
    # Nobody reports a key here, so one of the replicas settles it before any of them tells it.
    each = ("create sandboxes", "patch sandboxes", "delete sandboxes")
    assert done == {(what, name): ROUNDS for what in each}
    assert codes[409] > ROUNDS, "the clients have hardly met"
    assert len(set(keys)) == ROUNDS
    # A session key is made from the UID, so the answers of each round name the one Sandbox that it has made.
    assert [master_keys.session_key(master_keys.key_id(uid)) for uid in uids] == keys


def _only(answers: list[Answer | None]) -> dict[str, str]:
    """The body of all answers, which must be successful, and alike byte by byte."""
    [(status, content)] = {(answer.status, answer.content) if answer else (0, b"") for answer in answers}
    assert status == 200, content
    return Answer(0, status, content).body
