"""Requests of all kinds in any order. RACES_SEED and RACES_EXAMPLES (default: a minute) run others, and more."""

import os

from control_plane.races.arena import Arena
from control_plane.races.machine import run_races

EXAMPLES = int(os.environ.get("RACES_EXAMPLES", "18"))
SEED = int(os.environ.get("RACES_SEED", "0"))


def test_whatever_is_asked(arena: Arena) -> None:
    print(f"RACES_SEED={SEED} RACES_EXAMPLES={EXAMPLES}")
    run_races(arena, SEED, EXAMPLES)
