"""Requests that come before an earlier one has had its effect on the pod."""

import asyncio

import pytest

from control_plane.races.arena import Arena
from control_plane.races.clients import Client, side_by_side
from control_plane.races.history import GONE, UNKNOWN, Alive, Told
from control_plane.races.settling import settle

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_start_that_is_stopped_comes_after_the_stop_and_can_be_stopped(arena: Arena) -> None:
    async def race(client: Client) -> None:
        starting = asyncio.create_task(client.ask("start"))
        await client.until(lambda state: state is not GONE)
        await client.ask("stop")
        await starting
        await client.ask("stop")
        await settle(arena, client.session)
        client.expect(client.session.now, GONE)

    await side_by_side(arena, race)


async def test_a_start_right_after_a_stop_makes_a_new_one(arena: Arena) -> None:
    async def race(client: Client) -> None:
        first = await client.run()
        await client.ask("stop")
        second = await client.run()
        assert second.key != first.key

    await side_by_side(arena, race)


async def test_a_start_while_the_pod_ends_brings_the_same_one_back(arena: Arena) -> None:
    async def race(client: Client) -> None:
        first = await client.run()
        pausing = asyncio.create_task(client.ask("pause"))
        await client.until(lambda state: state != first)
        await client.ask("start")
        await pausing
        await settle(arena, client.session)
        client.expect(client.session.now, first)

    await side_by_side(arena, race)


async def test_a_pause_while_it_starts_is_the_last_word(arena: Arena) -> None:
    async def race(client: Client) -> None:
        starting = asyncio.create_task(client.ask("start"))
        await client.until(lambda state: state is not GONE)
        await client.ask("pause")
        await starting
        await settle(arena, client.session)
        assert isinstance(client.session.now, Alive)
        client.expect(client.session.now.suspension, "Requested")

    await side_by_side(arena, race)


async def test_the_last_word_counts_whichever_replica_hears_it(arena: Arena) -> None:
    async def race(client: Client) -> None:
        await client.run()
        for kind in client.shuffled("pause", "resume", "pause", "start", "pause", "resume"):
            await client.ask(kind)

    await side_by_side(arena, race)


async def test_stopping_twice_is_like_once(arena: Arena) -> None:
    async def race(client: Client) -> None:
        await client.run()
        stops = await client.ask_at_once("stop", "stop")
        stops.append(await client.ask("stop"))
        client.expect([stop.outcome for stop in stops], [GONE] * 3)

    await side_by_side(arena, race)


async def test_resuming_a_running_one_changes_nothing(arena: Arena) -> None:
    async def race(client: Client) -> None:
        running = await client.run()
        agents = arena.node.agents_of(arena.uid(running))
        calls = await client.ask_at_once("resume", "resume", "start")
        client.expect([call.outcome for call in calls], [Told(running.key)] * 3)
        client.expect(arena.node.agents_of(arena.uid(running)), agents)

    await side_by_side(arena, race)


async def test_visits_wake_an_idle_one_once_also_while_its_pod_ends(arena: Arena) -> None:
    async def race(client: Client) -> None:
        running = await client.run()
        # A replica that works on a request when it sees the suspension breaks it off.
        await client.become_idle()
        visits = await asyncio.gather(*(client.ask("visit") for _ in range(10)))
        client.expect([visit.outcome for visit in visits], [Told(running.key)] * 10)
        client.expect(client.session.states, [GONE, running, Alive(running.key, "Idle"), running])

    await side_by_side(arena, race)


async def test_after_a_pause_no_visit_wakes_it_whatever_it_was_suspended_for_before(arena: Arena) -> None:
    async def race(client: Client) -> None:
        await client.bring_to("idle")
        await client.ask("pause")
        visits = await client.ask_at_once("visit", "visit")
        client.expect([visit.outcome for visit in visits], [UNKNOWN] * 2)
        assert isinstance(client.session.now, Alive)
        client.expect(client.session.now.suspension, "Requested")

    await side_by_side(arena, race)


async def test_a_failed_one_is_restarted_once_however_many_ask(arena: Arena) -> None:
    async def race(client: Client) -> None:
        running = await client.run()
        await arena.crash(client.session)
        starts = await client.ask_at_once("start", "start", "start", "start")
        client.expect([start.outcome for start in starts], [Told(running.key)] * 4)
        await settle(arena, client.session)
        client.expect(len(arena.node.agents_of(arena.uid(running))), 2)

    await side_by_side(arena, race)
