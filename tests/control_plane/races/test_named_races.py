"""Two requests that meet, at every stage of a sandbox's life: each race settles to what one order of them gives.

Each is run with several sessions side by side, with the requests a random moment apart and through random replicas.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest

from control_plane.races.arena import Arena
from control_plane.races.gateways import REPLICAS
from control_plane.races.history import GONE, Alive, Call, Kind, State
from control_plane.races.session import Session
from control_plane.races.settling import settle
from control_plane.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

SESSIONS = 8
APART_SECONDS = (0.0, 0.0, 0.02, 0.3)


class Client:
    """Whoever asks about one session."""

    def __init__(self, arena: Arena, session: Session, seed: str) -> None:
        self.arena = arena
        self.session = session
        self._random = random.Random(seed)

    async def ask(self, kind: Kind) -> Call:
        """Through any replica."""
        return await self.arena.call(self.session, kind, self._random.randrange(REPLICAS))

    async def ask_at_once(self, *kinds: Kind) -> list[Call]:
        """Several, hardly apart, in any order."""

        async def later(kind: Kind) -> Call:
            await asyncio.sleep(self._random.choice(APART_SECONDS))
            return await self.ask(kind)

        return await asyncio.gather(*(later(kind) for kind in kinds))

    async def run(self) -> Alive:
        """Start it, and wait until it is ready."""
        call = await self.ask("start")
        await settle(self.arena, self.session)
        assert isinstance(call.outcome, Alive)
        return call.outcome

    async def pause(self) -> None:
        """Pause it, and wait until its pod is gone."""
        await self.ask("pause")
        await settle(self.arena, self.session)

    async def until(self, keep: Callable[[State], bool]) -> None:
        """Return once its Sandbox is in such a state."""

        async def look() -> bool:
            return keep(self.session.now)

        await eventually(look)


type Race = Callable[[Client], Awaitable[object]]


async def stop_meets_the_first_start(client: Client) -> None:
    await client.ask_at_once("start", "stop")


async def stop_meets_start_of_a_running_one(client: Client) -> None:
    await client.run()
    await client.ask_at_once("start", "stop")


async def stop_meets_start_of_a_paused_one(client: Client) -> None:
    await client.run()
    await client.pause()
    await client.ask_at_once("start", "stop")


async def pause_meets_resume_of_a_running_one(client: Client) -> None:
    await client.run()
    await client.ask_at_once("pause", "resume")


async def pause_meets_resume_of_a_paused_one(client: Client) -> None:
    await client.run()
    await client.pause()
    await client.ask_at_once("pause", "resume")


async def pause_meets_start(client: Client) -> None:
    await client.run()
    await client.ask_at_once("pause", "start")


async def pause_meets_stop(client: Client) -> None:
    await client.run()
    await client.ask_at_once("pause", "stop")


async def resume_meets_stop(client: Client) -> None:
    await client.run()
    await client.pause()
    await client.ask_at_once("resume", "stop")


async def everything_meets(client: Client) -> None:
    await client.ask_at_once("start", "pause", "resume", "stop", "start", "look", "pause", "look")


@pytest.mark.parametrize(
    "race",
    [
        stop_meets_the_first_start,
        stop_meets_start_of_a_running_one,
        stop_meets_start_of_a_paused_one,
        pause_meets_resume_of_a_running_one,
        pause_meets_resume_of_a_paused_one,
        pause_meets_start,
        pause_meets_stop,
        resume_meets_stop,
        everything_meets,
    ],
)
async def test_requests_that_meet(arena: Arena, race: Race) -> None:
    await _several(arena, race)


async def test_a_stop_while_it_starts_leaves_nothing(arena: Arena) -> None:
    async def race(client: Client) -> None:
        starting = asyncio.create_task(client.ask("start"))
        await client.until(lambda state: state is not GONE)
        await client.ask("stop")
        await starting
        await settle(client.arena, client.session)
        assert client.session.now is GONE

    await _several(arena, race)


async def test_a_start_right_after_a_stop_makes_a_new_one(arena: Arena) -> None:
    async def race(client: Client) -> None:
        first = await client.run()
        await client.ask("stop")
        second = await client.run()
        assert second.key != first.key

    await _several(arena, race)


async def test_a_start_right_after_a_pause_brings_the_same_one_back(arena: Arena) -> None:
    async def race(client: Client) -> None:
        first = await client.run()
        pausing = asyncio.create_task(client.ask("pause"))
        await client.until(lambda state: state != first)
        # Its pod may still be ending.
        await client.ask("start")
        await pausing
        await settle(client.arena, client.session)
        assert client.session.now == first

    await _several(arena, race)


async def test_a_pause_while_it_starts(arena: Arena) -> None:
    async def race(client: Client) -> None:
        starting = asyncio.create_task(client.ask("start"))
        await client.until(lambda state: state is not GONE)
        await client.ask("pause")
        await starting
        await settle(client.arena, client.session)
        assert isinstance(client.session.now, Alive)
        assert client.session.now.suspended

    await _several(arena, race)


async def test_stopping_twice_is_like_once(arena: Arena) -> None:
    async def race(client: Client) -> None:
        await client.run()
        stops = await client.ask_at_once("stop", "stop")
        stops.append(await client.ask("stop"))
        assert [stop.outcome for stop in stops] == [GONE] * 3

    await _several(arena, race)


async def test_resuming_a_running_one_changes_nothing(arena: Arena) -> None:
    async def race(client: Client) -> None:
        running = await client.run()
        agents = len(client.arena.node.agents_of(client.arena.uid(running)))
        calls = await client.ask_at_once("resume", "resume", "start")
        assert [call.outcome for call in calls] == [running] * 3
        assert len(client.arena.node.agents_of(client.arena.uid(running))) == agents

    await _several(arena, race)


async def test_a_pod_that_is_lost_is_replaced_whatever_is_asked_meanwhile(arena: Arena) -> None:
    async def race(client: Client) -> None:
        await client.run()
        await asyncio.gather(client.arena.lose_pod(client.session), client.ask_at_once("resume", "start", "look"))

    await _several(arena, race)


async def _several(arena: Arena, race: Race) -> None:
    """Run it with several sessions at once, and let all settle."""
    clients = [Client(arena, arena.session(), str(number)) for number in range(SESSIONS)]
    await asyncio.gather(*(race(client) for client in clients))
    await settle(arena, *(client.session for client in clients))
    await asyncio.gather(*(client.ask("stop") for client in clients))
