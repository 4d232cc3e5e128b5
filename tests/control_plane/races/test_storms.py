"""The same requests while the API server refuses, delays, breaks connections, loses answers and forgets watches.

Nothing may be lost, made twice, deaf afterwards, or reported as failed. STORM_SEED and STORM_EXAMPLES run other storms,
and more: `make test-long` runs 400, which are 10,000 steps.
"""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from control_plane.races.arena import Arena
from control_plane.races.machine import run_races
from control_plane.races.storm import Storm
from local_cluster.control_plane import ControlPlane

EXAMPLES = int(os.environ.get("STORM_EXAMPLES", "3"))
SEED = int(os.environ.get("STORM_SEED", "0"))


@pytest.fixture(scope="module")
def storm() -> Storm:
    return Storm()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def stormy(
    control_plane: ControlPlane, master_key_dir: Path, storm: Storm, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Arena]:
    """An arena whose processes reach the API server through the storm."""
    directory = tmp_path_factory.mktemp("stormy")
    async with Arena.open(control_plane, master_key_dir, directory, storm) as opened:
        yield opened


def test_whatever_is_asked_in_a_storm(stormy: Arena, storm: Storm) -> None:
    print(f"STORM_SEED={SEED} STORM_EXAMPLES={EXAMPLES}")
    run_races(stormy, SEED, EXAMPLES)
    print(dict(storm.tally()))
    assert len(storm.tally()) > 5, "a storm that is none"
