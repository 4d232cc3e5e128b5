"""The data plane runs on uvloop, and so do its tests."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import pytest
import uvloop

from unit.sandbox_gateway.proxy.support import Gateway, counted


def pytest_asyncio_loop_factories(config: Any, item: Any) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    del config, item
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    """A listener in header mode, without sandboxes yet. When it has ended, nothing is counted as open any more."""
    before = counted()
    async with Gateway(tmp_path_factory.mktemp("gateway")) as gateway:
        yield gateway
    assert counted() == before
