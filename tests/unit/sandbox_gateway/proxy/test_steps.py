"""Calls of one owner beside those of another, step by step."""

import asyncio
from collections.abc import Coroutine

import pytest

from sandbox_gateway.proxy.steps import Steps, in_steps
from sandbox_gateway.proxy.turns import Turns


def turns() -> Turns:
    return Turns(1, asyncio.get_running_loop().call_soon)


async def test_a_call_does_not_wait_for_the_many_of_another_owner() -> None:
    shared, done = turns(), 0

    async def step_by_step() -> None:
        nonlocal done
        for _ in range(100):
            await asyncio.sleep(0)
            done += 1

    async def call(owner: str) -> None:
        await Steps(step_by_step(), owner, shared)

    greedy = [asyncio.create_task(call("greedy")) for _ in range(100)]
    await asyncio.sleep(0)
    done = 0
    await call("modest")
    # Each of the modest one's 100 steps is a round or two, in which the greedy one has a step or two.
    assert done <= 100 + 4 * 100
    await asyncio.gather(*greedy)
    assert done == 101 * 100


async def test_results_errors_and_time_limits_pass() -> None:
    shared = turns()

    async def adds(number: int) -> int:
        await asyncio.sleep(0)
        return number + 1

    async def fails() -> None:
        await asyncio.sleep(0)
        raise ValueError("so it is")

    async def waits() -> str:
        try:
            async with asyncio.timeout(0.01):
                await asyncio.Event().wait()
        except TimeoutError:
            return "waited"
        return ""

    assert await asyncio.gather(*(Steps(adds(number), "a", shared) for number in range(9))) == list(range(1, 10))
    with pytest.raises(ValueError, match="so it is"):
        await Steps(fails(), "a", shared)
    assert await Steps(waits(), "a", shared) == "waited"


@pytest.mark.parametrize("later", range(4))
async def test_a_call_hears_at_once_that_it_is_cancelled(later: int) -> None:
    """While it awaits something, and while it awaits a turn."""
    shared, begun, heard = turns(), asyncio.Event(), asyncio.Event()

    async def busy() -> None:
        for _ in range(1000):
            await asyncio.sleep(0)

    async def call() -> None:
        begun.set()
        try:
            await busy()
        except asyncio.CancelledError:
            heard.set()
            raise

    async def own(work: Coroutine[None, None, None]) -> None:
        await Steps(work, "a", shared)

    others = [asyncio.create_task(own(busy())) for _ in range(3)]
    task = asyncio.create_task(own(call()))
    await begun.wait()
    for _ in range(later):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert heard.is_set()
    for other in others:
        other.cancel()
    await asyncio.wait(others)


async def test_a_call_that_is_cancelled_before_its_first_turn_never_begins() -> None:
    shared, begun = Turns(1, lambda _: None), False

    async def call() -> None:
        nonlocal begun
        begun = True

    async def own() -> None:
        await Steps(call(), "a", shared)

    assert shared.take("a")
    task = asyncio.create_task(own())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert not begun


async def test_many_things_are_done_in_several_steps() -> None:
    others = 0

    async def other() -> None:
        nonlocal others
        while True:
            others += 1
            await asyncio.sleep(0)

    beside = asyncio.create_task(other())
    assert [thing async for thing in in_steps(range(100))] == list(range(100))
    assert others >= 5
    beside.cancel()
