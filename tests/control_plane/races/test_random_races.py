"""Requests of all kinds in any order."""

from control_plane.races.arena import Arena
from control_plane.races.machine import run_races
from sampling import count, seed

EXAMPLES = count(6, 200)


def test_whatever_is_asked(arena: Arena) -> None:
    run_races(arena, seed(), EXAMPLES)
