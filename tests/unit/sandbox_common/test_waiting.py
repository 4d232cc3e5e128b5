"""Waiting with a timeout, and for several requests."""

import asyncio
import gc

import pytest

from sandbox_common.waiting import set_within, to_the_end, together


async def test_what_is_set_in_time_and_what_is_not() -> None:
    event = asyncio.Event()
    assert not await set_within(event, 0.001)
    asyncio.get_running_loop().call_soon(event.set)
    assert await set_within(event, float("inf"))


async def test_a_failure_is_raised_after_all_have_ended() -> None:
    ended: list[int] = []

    async def request(number: int) -> int:
        if number == 0:
            raise ValueError("the first")
        await asyncio.sleep(0)
        ended.append(number)
        return number

    assert await together(request(number) for number in (1, 2)) == [1, 2]
    with pytest.raises(ValueError, match="the first"):
        await together(request(number) for number in (0, 3, 4))
    assert ended == [1, 2, 3, 4]


@pytest.mark.parametrize("fails", [False, True])
async def test_a_request_goes_on_when_its_caller_is_cancelled(fails: bool, caplog: pytest.LogCaptureFixture) -> None:
    answer, ended = asyncio.Event(), list[bool]()

    async def request() -> None:
        await answer.wait()
        ended.append(True)
        if fails:
            raise ValueError("nobody hears this")

    caller = asyncio.create_task(to_the_end(request()))
    await asyncio.sleep(0)
    caller.cancel()
    await asyncio.wait([caller])
    assert caller.cancelled()
    assert not ended
    answer.set()
    for _ in range(3):
        await asyncio.sleep(0)
    gc.collect()
    assert ended
    assert not caplog.records


async def test_a_request_that_fails_says_so() -> None:
    async def request() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await to_the_end(request())
