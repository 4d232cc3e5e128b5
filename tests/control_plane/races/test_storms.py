"""The same requests while the API server refuses, delays, breaks connections, loses answers and forgets watches.

Nothing may be lost, made twice, deaf afterwards, or reported as failed. `make test-long` runs 400 examples, which are
10,000 steps.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from control_plane.races.arena import Arena
from control_plane.races.machine import run_races
from control_plane.races.storm import Storm
from local_cluster.control_plane import ControlPlane
from sampling import count, seed

EXAMPLES = count(3, 400)


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
    run_races(stormy, seed(), EXAMPLES)
    print(dict(storm.tally()))
    assert len(storm.tally()) > 5, "a storm that is none"
