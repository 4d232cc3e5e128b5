"""Who leads, who takes over, and who writes nothing any more."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator
from datetime import UTC, datetime

import pytest

from control_plane.audit import Audit
from control_plane.leading.conftest import Start
from control_plane.leading.crew import Crew, Member
from control_plane.pools.basin import Basin, Node
from control_plane.waiting import eventually
from sandbox_common.kube import ApiError
from sandbox_common.kube.resources import LEASES
from sandbox_common.reasons import Reason
from sandbox_operator.app import USER_AGENT

LEASE = "openhands-sandbox-operator"
SECONDS = 4
"""Shorter ones would be lost on a busy machine while nothing is wrong."""
SHORT = f"--lease-duration-seconds={SECONDS}"


@pytest.fixture(autouse=True)
def _running(node: Node) -> None:
    """Pods run in all tests here."""


async def holder(basin: Basin) -> str:
    """Who has the Lease."""
    return (await basin.client.get(LEASES, basin.namespace, LEASE))["spec"].get("holderIdentity") or ""


async def works(basin: Basin, name: str) -> None:
    """There is a leader that does its work."""
    await basin.add(name)
    await basin.until(Reason.READY, name)


async def test_one_of_three_works_and_all_are_ready(basin: Basin, start: Start, audit: Audit) -> None:
    async with start(3) as crew:
        leader = await crew.leader()
        await works(basin, "one")
        assert [await member.process.status("/readyz") for member in crew.members] == [200] * 3
        assert sum([await member.leads() for member in crew.members]) == 1
        writes = await audit.writes(basin.client, basin.namespace, USER_AGENT)
        assert {write.source for write in writes} == {leader.link.source}
        crew.check_logs()


async def test_at_its_end_a_leader_hands_over_at_once(basin: Basin, start: Start) -> None:
    async with start(2) as crew:
        for number in range(3):
            leader = await crew.leader()
            before = await holder(basin)
            began = time.monotonic()
            ending = asyncio.create_task(leader.stop())
            await eventually(lambda before=before: _held_by_another(basin, before), timeout=7)
            print(f"handed over {time.monotonic() - began:.3f} s after SIGTERM")
            await works(basin, f"sandbox-{number}")
            await ending
            await leader.restart()


async def _held_by_another(basin: Basin, before: str) -> bool:
    return await holder(basin) not in {"", before}


async def test_a_killed_leader_is_replaced_when_its_lease_is_over(basin: Basin, start: Start) -> None:
    async with start(2, SHORT) as crew:
        leader = await crew.leader()
        await works(basin, "before")
        before = await holder(basin)
        await basin.add("meanwhile")
        await leader.kill()
        began = time.monotonic()
        await eventually(lambda: _held_by_another(basin, before), timeout=SECONDS + 10)
        print(f"taken over {time.monotonic() - began:.3f} s after SIGKILL, lease {SECONDS} s")
        await basin.until(Reason.READY, "meanwhile")
        await works(basin, "after")


async def test_a_lease_that_is_deleted_is_made_again(basin: Basin, start: Start) -> None:
    async with start(2) as crew:
        leader = await crew.leader()
        await basin.client.delete(LEASES, basin.namespace, LEASE)
        await eventually(lambda: holder(basin))
        await works(basin, "one")
        assert await crew.leader() is leader


@contextlib.asynccontextmanager
async def load(basin: Basin) -> AsyncGenerator[None]:
    """Meanwhile sandboxes are made and deleted, some dozens a second."""

    async def churn(lane: int) -> None:
        for number in range(10_000):
            name = f"load-{lane}-{number}"
            with contextlib.suppress(ApiError):
                await basin.add(name)
                await asyncio.sleep(0.1)
                await basin.delete(name)

    lanes = [asyncio.create_task(churn(lane)) for lane in range(4)]
    try:
        yield
    finally:
        for lane in lanes:
            lane.cancel()
        await asyncio.gather(*lanes, return_exceptions=True)


async def test_a_leader_that_was_frozen_writes_nothing_afterwards(basin: Basin, start: Start, audit: Audit) -> None:
    """Whatever it finds to be done, and before its timers have told it that its time is over."""
    async with start(2, SHORT) as crew:
        for number in range(4):
            leader = await crew.leader()
            await works(basin, f"before-{number}")
            # What it is sending while it is stopped is sent when it goes on: nobody can ask a clock in between.
            await asyncio.sleep(0.5)
            leader.freeze()
            async with load(basin):
                await crew.leader(besides=leader)
                thawed = datetime.now(UTC)
                leader.thaw()
                await asyncio.sleep(1)
            await _is_still(basin, audit, leader, thawed)


async def test_a_leader_that_is_cut_off_stops_before_another_begins(basin: Basin, start: Start, audit: Audit) -> None:
    async with start(2, SHORT) as crew:
        leader = await crew.leader()
        await works(basin, "before")
        async with load(basin):
            await asyncio.sleep(0.5)
            leader.link.cut()
            other = await crew.leader(besides=leader)
            replaced = datetime.now(UTC)
            assert not await leader.leads()
            leader.link.mend()
            await works(basin, "meanwhile")
            await asyncio.sleep(1)
        await _is_still(basin, audit, leader, replaced)
        writes = await audit.writes(basin.client, basin.namespace, USER_AGENT)
        assert [write for write in writes if write.source == other.link.source]
        await _both_can_lead(basin, crew, other, leader)


async def _is_still(basin: Basin, audit: Audit, member: Member, since: datetime) -> None:
    writes = await audit.writes(basin.client, basin.namespace, USER_AGENT)
    own = [write for write in writes if write.source == member.link.source]
    assert [write for write in own if write.at < since], "it has written before"
    assert not [write for write in own if write.at > since]


async def _both_can_lead(basin: Basin, crew: Crew, leader: Member, other: Member) -> None:
    """The one that had been cut off has found back, and can take over."""
    await eventually(lambda: _is_ready(other))
    await leader.stop()
    assert await crew.leader() is other
    await works(basin, "afterwards")


async def _is_ready(member: Member) -> bool:
    return await member.process.status("/readyz") == 200
