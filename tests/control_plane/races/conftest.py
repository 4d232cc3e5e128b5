"""One arena for all races, since its start is what takes long."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from control_plane.races.arena import Arena
from local_cluster.control_plane import ControlPlane


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def arena(
    control_plane: ControlPlane, master_key_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Arena]:
    """API server, operator, two gateway replicas and a node."""
    async with Arena.open(control_plane, master_key_dir, tmp_path_factory.mktemp("arena")) as opened:
        yield opened
