"""A console over sandboxes in memory, in which somebody has signed in."""

from collections.abc import AsyncIterator

import httpx
import pytest

from sandbox_gateway.console.app import Console
from unit.sandbox_gateway.console.support import Town, browser, sign_in


@pytest.fixture
def town() -> Town:
    return Town()


@pytest.fixture
def console(town: Town) -> Console:
    return town.console()


@pytest.fixture
async def http(console: Console) -> AsyncIterator[httpx.AsyncClient]:
    async with browser(console.app) as client:
        await sign_in(client)
        yield client
