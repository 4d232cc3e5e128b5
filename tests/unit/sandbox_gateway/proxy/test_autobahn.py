"""The cases of the Autobahn Testsuite, as kosoku runs them, against an echo behind the gateway.

Without the slow ones: most of those about large messages (9) and compression (12 and 13), at whose content the gateway
does not look.
"""

from collections.abc import AsyncGenerator

import pytest
from kosoku import FailureError, run_fuzzingclient
from websockets.asyncio.server import ServerConnection, serve

from unit.sandbox_gateway.proxy.support import KEY, Gateway, at

CASES = [
    "1.*",
    "2.*",
    "3.*",
    "4.*",
    "5.*",
    "6.*",
    "7.*",
    "9.1.4",
    "9.2.4",
    "9.3.4",
    "9.4.4",
    "10.*",
    "12.1.1",
    "13.1.1",
]
OF_THE_ECHO = {"7.1.5"}
"""It fails without the gateway, too: websockets answers a text that a close has cut with another code."""
_AT_A_TIME = 16


@pytest.fixture
async def echo() -> AsyncGenerator[tuple[str, int]]:
    """The address of a sandbox that answers as Autobahn wants it."""

    async def answer(websocket: ServerConnection) -> None:
        async for message in websocket:
            await websocket.send(message)

    async with serve(answer, "127.0.0.1", 0, max_size=None) as server:
        yield next(iter(server.sockets)).getsockname()


async def test_every_case_passes(gateway: Gateway, echo: tuple[str, int]) -> None:
    gateway.directory.add(KEY, "abc", at(*echo))
    try:
        url = f"ws://127.0.0.1:{gateway.listener.port}/?session_api_key={KEY}"
        results = await run_fuzzingclient(url, CASES, concurrency=_AT_A_TIME)
    except FailureError as failure:
        results = failure.results
    assert len(results) > 250
    assert {found.case_id for found in results if not found.passed} <= OF_THE_ECHO
