"""Two or more things that happen at once, at a stage of a sandbox's life: all settles to what one order of them gives.

Each is tried with several sessions, a random moment apart, through random replicas.
"""

import pytest

from control_plane.races.arena import Arena
from control_plane.races.clients import Client, Incident, Stage, side_by_side
from control_plane.races.history import Kind

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize(
    ("stage", "happenings"),
    [
        ("nothing", ("start", "stop")),
        ("running", ("start", "stop")),
        ("paused", ("start", "stop")),
        ("running", ("pause", "resume")),
        ("paused", ("pause", "resume")),
        ("running", ("pause", "start")),
        ("running", ("pause", "stop")),
        ("paused", ("resume", "stop")),
        ("nothing", ("start", "pause", "resume", "stop", "start", "look", "pause", "list")),
        ("running", ("loss of its pod", "resume", "start", "look")),
        ("running", ("loss of its pod", "pause")),
        ("running", ("idleness", "pause", "visit")),
        ("running", ("idleness", "start", "visit")),
        ("running", ("idleness", "stop", "visit")),
        ("idle", ("visit", "visit", "pause")),
        ("idle", ("visit", "visit", "stop")),
        ("idle", ("visit", "resume", "start")),
        ("idle", ("visit", "idleness", "visit", "idleness", "visit")),
        ("running", ("restart", "pause")),
        ("running", ("restart", "stop", "start")),
        ("idle", ("restart", "visit")),
        ("running", ("end of life", "start")),
        ("paused", ("end of life", "resume")),
        ("idle", ("end of life", "visit", "start")),
    ],
)
async def test_what_meets(arena: Arena, stage: Stage, happenings: tuple[Kind | Incident, ...]) -> None:
    async def race(client: Client) -> None:
        await client.bring_to(stage)
        await client.meet(*happenings)

    await side_by_side(arena, race)
