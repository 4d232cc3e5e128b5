"""Waiting with an end."""

import asyncio

from sandbox_common.waiting import set_within


async def test_what_is_set_in_time_and_what_is_not() -> None:
    event = asyncio.Event()
    assert not await set_within(event, 0.001)
    asyncio.get_running_loop().call_soon(event.set)
    assert await set_within(event, float("inf"))
