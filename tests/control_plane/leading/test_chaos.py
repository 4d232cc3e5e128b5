"""The leader is lost again and again while there is much to do, and in the end everything is as it must be."""

import asyncio
import random
import time
from collections import Counter

from control_plane.leading.books import Books
from control_plane.leading.churn import KEPT, Churn
from control_plane.leading.conftest import Start
from control_plane.leading.crew import Crew, Member
from control_plane.pools.basin import Basin, Node
from control_plane.waiting import eventually
from sampling import count, seed
from sandbox_common.kube.resources import SANDBOXES

LOSSES = count(12, 50)
LANES = 16
POOLS = {"pool": 4, KEPT: 2}
"""Free pods by pool."""
SETTLE_SECONDS = 120
HOWS = ("SIGKILL", "SIGTERM", "SIGSTOP", "SIGSTOP")
"""A process that is only stopped need not start again, which is what takes long here."""


async def test_nothing_is_lost_doubled_or_orphaned(basin: Basin, node: Node, start: Start) -> None:
    await basin.add_class(KEPT, workspace={"persistent": True, "size": "1Gi"})
    await basin.add_pool(replicas=POOLS[basin.name])
    await basin.add_pool(KEPT, className=KEPT, replicas=POOLS[KEPT])
    draw, churn, times = random.Random(seed()), Churn(basin, seed()), Counter[str]()
    began = time.monotonic()
    async with Books.kept(basin) as books, start(3, "--lease-duration-seconds=2") as crew:
        async with churn.going_on(LANES):
            returns: list[asyncio.Task[None]] = []
            for _ in range(LOSSES):
                leader = await crew.leader()
                await asyncio.sleep(draw.choice([0.0, 0.1, 0.5, 1.0]))
                how = draw.choice(HOWS)
                times[how] += 1
                await _lose(crew, leader, how, returns)
                # Of three there is always one to take over, while another comes back.
                await asyncio.gather(*returns[:-1])
            await asyncio.gather(*returns)
        complaints = await _settled(books)
        print(f"\n{dict(times)} in {time.monotonic() - began:.0f} s; {dict(churn.done)}; {books}")
        assert complaints == []
        books.check()
        items = (await basin.client.list(SANDBOXES, basin.namespace))["items"]
        assert {item["metadata"]["name"]: item["spec"]["suspend"] for item in items} == churn.alive
        assert books.claims > 0
        assert books.volumes > 0
        crew.check_logs()


async def _lose(crew: Crew, leader: Member, how: str, returns: list[asyncio.Task[None]]) -> None:
    """Take the leader away; return once another leads. The lost one comes back meanwhile."""
    match how:
        case "SIGKILL":
            await leader.kill()
            returns.append(asyncio.create_task(leader.restart()))
        case "SIGTERM":
            await leader.stop()
            returns.append(asyncio.create_task(leader.restart()))
        case _:
            leader.freeze()
    await crew.leader(besides=leader)
    if how == "SIGSTOP":
        leader.thaw()


async def _settled(books: Books) -> list[str]:
    """What is still wrong when all has had its time."""

    async def look() -> bool:
        return not await books.complaints(POOLS)

    try:
        await eventually(look, SETTLE_SECONDS)
    except TimeoutError:
        return await books.complaints(POOLS)
    return []
