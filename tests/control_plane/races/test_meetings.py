"""Two or more things that happen at once, at a stage of a sandbox's life: all settles to what one order of them gives.

Each is tried with several sessions, a random moment apart, through random replicas.
"""

from collections.abc import Awaitable, Callable

import pytest

from control_plane.races.arena import Arena
from control_plane.races.clients import Client, Incident, Stage, side_by_side
from control_plane.races.history import Kind

pytestmark = pytest.mark.asyncio(loop_scope="session")

type Meeting = tuple[Kind | Incident, ...]

MEETINGS: dict[Stage, list[Meeting]] = {
    "nothing": [
        ("start", "stop"),
        ("start", "pause", "resume", "stop", "start", "look", "pause", "list"),
    ],
    "running": [
        ("start", "stop"),
        ("pause", "resume"),
        ("pause", "start"),
        ("pause", "stop"),
        ("loss of its pod", "resume", "start", "look"),
        ("loss of its pod", "pause"),
        ("idleness", "pause", "visit"),
        ("idleness", "start", "visit"),
        ("idleness", "stop", "visit"),
        ("restart", "pause"),
        ("restart", "stop", "start"),
        ("end of life", "start"),
    ],
    "paused": [
        ("start", "stop"),
        ("pause", "resume"),
        ("resume", "stop"),
        ("end of life", "resume"),
    ],
    "idle": [
        ("visit", "visit", "pause"),
        ("visit", "visit", "stop"),
        ("visit", "resume", "start"),
        ("visit", "idleness", "visit", "idleness", "visit"),
        ("restart", "visit"),
        ("end of life", "visit", "start"),
    ],
}


@pytest.mark.parametrize("stage", list(MEETINGS))
async def test_what_meets(arena: Arena, stage: Stage) -> None:
    def race(happenings: Meeting) -> Callable[[Client], Awaitable[None]]:
        async def meet(client: Client) -> None:
            await client.bring_to(stage)
            await client.meet(*happenings)

        return meet

    await side_by_side(arena, *map(race, MEETINGS[stage]))
