"""A gateway may be killed between any two writes; the client asks again, and another replica goes on."""

import asyncio
from typing import Any

import httpx
import pytest

from control_plane import crash_points
from control_plane.audit import Audit, kinds
from control_plane.gateway.support import USER_AGENT, Operator, Replica, environment_of, replica, replica_with
from control_plane.operator.mortal import DyingClient, deaths
from local_cluster.control_plane import ControlPlane
from sandbox_common.keys import MasterKeys
from sandbox_common.kube import KubeClient, KubeObject
from sandbox_common.kube.resources import EVENTS
from sandbox_common.reasons import Reason

WRITES = [
    "create sandboxes",
    "create secrets",
    "patch sandboxes",
    "patch sandboxes",
    "create secrets",
    "patch sandboxes",
    "delete sandboxes",
]
"""Of `live`: a start with an environment, which settles its key, a pause, a start with another environment, a stop."""


class Client:
    """Asks the first replica; when that is dead, it asks the second one the same."""

    def __init__(self, first: Replica, second: Replica, dead: asyncio.Event) -> None:
        self._first = first
        self._second = second
        self._dead = dead

    async def post(self, path: str, **body: Any) -> httpx.Response:
        """The answer of either."""
        if not self._dead.is_set():
            asked = asyncio.create_task(self._first.http.post(path, json=body))
            died = asyncio.create_task(self._dead.wait())
            await asyncio.wait({asked, died}, return_when=asyncio.FIRST_COMPLETED)
            died.cancel()
            if not self._dead.is_set():
                return await asked
            asked.cancel()
            await asyncio.gather(asked, return_exceptions=True)
        return await self._second.http.post(path, json=body)

    async def catch_up(self, sandbox: KubeObject) -> None:
        """Both know this version."""
        for each in (self._first, self._second):
            await each.catch_up(sandbox)


async def live(asking: Client, operator: Operator, client: KubeClient) -> None:
    """One sandbox from its start to its end. Whatever is answered with 200 is so."""
    body = {"image": "agent:1", "session_id": "s"}
    started = await asking.post("/start", **body, environment={"TOKEN": "one"})
    assert started.status_code == 200, started.text
    made = await operator.only()
    assert await environment_of(client, made) == {"TOKEN": "one"}
    runtime_id = started.json()["runtime_id"]
    await asking.catch_up(await operator.report(Reason.READY, workspaceKept=True))
    paused = await asking.post("/pause", runtime_id=runtime_id)
    assert paused.status_code == 200, paused.text
    assert (await operator.only())["spec"]["suspend"]
    await asking.catch_up(await operator.report(Reason.SUSPENDED))
    again = await asking.post("/start", **body, environment={"TOKEN": "two"})
    assert again.status_code == 200, again.text
    resumed = await operator.only()
    assert await environment_of(client, resumed) == {"TOKEN": "two"}
    assert resumed["metadata"]["uid"] == made["metadata"]["uid"]
    assert not resumed["spec"]["suspend"]
    assert again.json()["session_api_key"] == started.json()["session_api_key"]
    stopped = await asking.post("/stop", runtime_id=runtime_id)
    # What a lost answer had stopped already is not there.
    assert stopped.status_code in {200, 404}, stopped.text
    assert await operator.sandboxes() == []


def test_there_is_a_death_for_each_kind_of_writes() -> None:
    assert {*WRITES, "create events"} == set(crash_points.GATEWAY)


@pytest.mark.usefixtures("api_keys")
@pytest.mark.parametrize("last_is_sent", [False, True], ids=["before", "after"])
async def test_another_replica_names_what_was_not_applied(
    last_is_sent: bool,
    control_plane: ControlPlane,
    client: KubeClient,
    namespace: str,
    master_keys: MasterKeys,
    operator: Operator,
) -> None:
    async with (
        DyingClient.dying(control_plane, 0, last_is_sent, user_agent=USER_AGENT, at="create events") as dying,
        replica_with(dying, namespace, master_keys) as first,
        replica(control_plane.kubeconfig, namespace, master_keys) as second,
    ):
        asking = Client(first, second, dying.dead)
        body = {"image": "agent:1", "session_id": "s"}
        await asking.post("/start", **body)
        await asking.catch_up(await operator.report(Reason.READY))
        again = await asking.post("/start", **body, resource_factor=2)
        assert again.status_code == 200, again.text
        assert dying.dead.is_set()
    told = (await client.list(EVENTS, namespace))["items"]
    assert [event["reason"] for event in told] == ["StartFieldsIgnored"]


@pytest.mark.usefixtures("api_keys")
@pytest.mark.parametrize(("left", "last_is_sent"), [*deaths(len(WRITES), 3), (len(WRITES), False)])
async def test_another_replica_goes_on(
    left: int,
    last_is_sent: bool,
    control_plane: ControlPlane,
    client: KubeClient,
    namespace: str,
    master_keys: MasterKeys,
    operator: Operator,
    audit: Audit,
) -> None:
    async with (
        DyingClient.dying(control_plane, left, last_is_sent, user_agent=USER_AGENT) as dying,
        replica_with(dying, namespace, master_keys) as first,
        replica(control_plane.kubeconfig, namespace, master_keys) as second,
    ):
        await live(Client(first, second, dying.dead), operator, client)
        died = dying.dead.is_set()
    assert died == (left < len(WRITES))
    if not died:
        # The list is that of the audit log: a write that comes later must be named, and so be died at.
        assert kinds(await audit.writes(client, namespace, USER_AGENT)) == sorted(WRITES)
