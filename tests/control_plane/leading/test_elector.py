"""The elector's requests, on a real API server."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest
import structlog

from control_plane.waiting import PATIENCE, eventually
from sandbox_common.kube import KubeClient, KubeObject
from sandbox_common.kube.resources import LEASES, SECRETS
from sandbox_operator.leader.election import Timing
from sandbox_operator.leader.elector import Elector, NotLeadingError

TIMING = Timing(duration=2, renew=0.2, deadline=1)
NAME = "the-lease"


@pytest.fixture
def elector(client: KubeClient, namespace: str) -> Callable[[str], Elector]:
    return lambda identity: Elector(client, namespace, NAME, TIMING, identity)


class Term:
    """Work that is begun, goes on and is cancelled."""

    def __init__(self) -> None:
        self.client: KubeClient | None = None
        self.begun = asyncio.Event()
        self.ended = asyncio.Event()

    async def work(self, client: KubeClient) -> None:
        """What a leader does."""
        self.client = client
        self.begun.set()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.ended.set()


async def spec(client: KubeClient, namespace: str) -> KubeObject:
    """What the Lease says."""
    return (await client.get(LEASES, namespace, NAME))["spec"]


def secret() -> KubeObject:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "written-by-a-leader"}}


async def test_a_lease_is_made_renewed_and_given_back(
    client: KubeClient, namespace: str, elector: Callable[[str], Elector]
) -> None:
    term = Term()
    running = asyncio.create_task(elector("me").run(term.work))
    await asyncio.wait_for(term.begun.wait(), PATIENCE)
    made = await spec(client, namespace)
    assert (made["holderIdentity"], made["leaseDurationSeconds"], made["leaseTransitions"]) == ("me", 2, 0)
    assert datetime.now(UTC) - datetime.fromisoformat(made["acquireTime"]) < timedelta(seconds=30)

    async def renewed() -> bool:
        return (await spec(client, namespace))["renewTime"] > made["renewTime"]

    await eventually(renewed)
    assert (await spec(client, namespace))["acquireTime"] == made["acquireTime"]
    running.cancel()
    await asyncio.wait([running])
    assert term.ended.is_set()
    assert not (await spec(client, namespace)).get("holderIdentity")


async def test_who_loses_the_lease_writes_no_more(
    client: KubeClient, namespace: str, elector: Callable[[str], Elector]
) -> None:
    term = Term()
    me = elector("me")
    running = asyncio.create_task(me.run(term.work))
    await asyncio.wait_for(term.begun.wait(), PATIENCE)
    assert term.client
    assert me.leads
    await term.client.create(SECRETS, namespace, secret())
    await client.patch(LEASES, namespace, NAME, {"spec": {"holderIdentity": "a usurper"}})
    await asyncio.wait_for(term.ended.wait(), PATIENCE)
    assert not me.leads
    with pytest.raises(NotLeadingError):
        await term.client.delete(SECRETS, namespace, "written-by-a-leader")
    assert await term.client.get(SECRETS, namespace, "written-by-a-leader")
    running.cancel()
    await asyncio.wait([running])
    assert (await spec(client, namespace))["holderIdentity"] == "a usurper", "it is not given away for another"


async def test_the_next_one_takes_over_and_counts(
    client: KubeClient, namespace: str, elector: Callable[[str], Elector]
) -> None:
    first, second = Term(), Term()
    leading = asyncio.create_task(elector("one").run(first.work))
    await asyncio.wait_for(first.begun.wait(), PATIENCE)
    standing_by = asyncio.create_task(elector("two").run(second.work))
    await asyncio.sleep(0.5)
    assert not second.begun.is_set()
    leading.cancel()
    await asyncio.wait_for(second.begun.wait(), PATIENCE)
    taken = await spec(client, namespace)
    assert (taken["holderIdentity"], taken["leaseTransitions"]) == ("two", 1)
    standing_by.cancel()
    await asyncio.wait([leading, standing_by])


async def _fails(_: KubeClient) -> None:
    raise ValueError("a bug")


async def _ends(_: KubeClient) -> None:
    pass


@pytest.mark.parametrize(("work", "error"), [(_fails, ValueError), (_ends, RuntimeError)])
async def test_work_that_ends_by_itself_ends_the_candidacy_too(
    client: KubeClient,
    namespace: str,
    elector: Callable[[str], Elector],
    work: Callable[[KubeClient], Awaitable[None]],
    error: type[Exception],
) -> None:
    with pytest.raises(error):
        await asyncio.wait_for(elector("me").run(work), PATIENCE)
    assert not (await spec(client, namespace)).get("holderIdentity")


async def test_a_lasting_problem_is_logged_once(client: KubeClient, namespace: str) -> None:
    with structlog.testing.capture_logs() as logs:
        running = asyncio.create_task(Elector(client, namespace, "Not-A-Name", TIMING).run(_ends))
        await asyncio.sleep(20 * TIMING.retry)
        running.cancel()
        await asyncio.wait([running])
    [line] = logs
    assert "Not-A-Name" in line["error"]
