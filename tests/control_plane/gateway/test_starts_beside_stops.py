"""Many clients start one session while others stop it, through two replicas: each /start is answered with a sandbox."""

import asyncio

import httpx

from control_plane.gateway.support import Operator, Replica, answer, replica
from control_plane.gateway.test_environment import data_of, secret_of
from control_plane.naming import runtime_id
from local_cluster.control_plane import ControlPlane
from sandbox_common.keys import MasterKeys
from sandbox_common.kube import KubeClient
from sandbox_common.kube.resources import SANDBOX_POOLS

CLIENTS = 8
CALLS = 6
ENVIRONMENT = {"TOKEN": "t"}
BODY = {"image": "agent:1", "session_id": "s", "environment": ENVIRONMENT}
NAME = runtime_id("alice", "s")


async def test_each_start_beside_stops_is_answered_with_one_sandbox(
    control_plane: ControlPlane,
    client: KubeClient,
    namespace: str,
    master_keys: MasterKeys,
    api_keys: None,
    operator: Operator,
) -> None:
    # Without a pool all keys would be settled from the beginning, and there would be one write less to meet.
    kind = {"apiVersion": SANDBOX_POOLS.api_version, "kind": SANDBOX_POOLS.kind}
    pool = {"metadata": {"name": "pool"}, "spec": {"image": "agent:1", "replicas": 0}}
    await client.create(SANDBOX_POOLS, namespace, {**kind, **pool})
    where = control_plane.kubeconfig, namespace, master_keys
    async with replica(*where) as one, replica(*where) as other:

        async def calls(through: Replica, path: str, body: object) -> list[httpx.Response]:
            return [await through.http.post(path, json=body) for _ in range(CALLS)]

        starting = [calls((one, other)[number % 2], "/start", BODY) for number in range(CLIENTS)]
        stopping = [calls(through, "/stop", {"runtime_id": NAME}) for through in (one, other)]
        answers = await asyncio.gather(*starting, *stopping)
        started = [response for responses in answers[:CLIENTS] for response in responses]
        stopped = [response for responses in answers[CLIENTS:] for response in responses]

        told = {response.status_code for response in started}
        assert told <= {200, 503}, [response.text for response in started if response.status_code not in {200, 503}]
        assert all("Retry-After" in response.headers for response in started if response.status_code == 503)
        assert {answer(response)["runtime_id"] for response in started if response.status_code == 200} == {NAME}
        assert {response.status_code for response in stopped} <= {200, 404}

        last = await one.start("s", environment=ENVIRONMENT)
        sandbox = await operator.only()
        assert last["session_api_key"] == master_keys.session_key(master_keys.key_id(sandbox["metadata"]["uid"]))
        assert data_of(await secret_of(client, sandbox)) == ENVIRONMENT
