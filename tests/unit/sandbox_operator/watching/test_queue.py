"""The work queue."""

import asyncio

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from sandbox_operator.watching.queue import BACKLOG_SHARE, WorkQueue


async def taken(queue: WorkQueue) -> list[str]:
    """All keys that can be had at once."""
    keys: list[str] = []
    while len(queue):
        keys.append(await queue.get())
    return keys


async def test_keys_come_in_order_and_once() -> None:
    queue = WorkQueue()
    for key in "abab":
        queue.add(key)
    assert await taken(queue) == ["a", "b"]


async def test_a_key_in_work_is_not_given_to_another_worker() -> None:
    queue = WorkQueue()
    queue.add("a")
    assert await queue.get() == "a"
    queue.add("a")
    queue.add("a")
    assert len(queue) == 0
    queue.done("a")
    assert await taken(queue) == ["a"]
    queue.done("a")
    assert len(queue) == 0


async def test_a_worker_is_woken() -> None:
    queue = WorkQueue()
    workers = [asyncio.create_task(queue.get()) for _ in range(2)]
    await asyncio.sleep(0)
    queue.add("a")
    queue.add("b")
    assert sorted(await asyncio.gather(*workers)) == ["a", "b"]


async def test_a_cancelled_worker_takes_no_key_along() -> None:
    queue = WorkQueue()
    waiting = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    waiting.cancel()
    queue.add("a")
    assert await taken(queue) == ["a"]


async def test_of_two_delays_the_earlier_counts() -> None:
    queue = WorkQueue()
    queue.add_after("a", 3600)
    queue.add_after("a", 0)
    queue.add_after("a", 3600)
    assert await queue.get() == "a"
    queue.done("a")
    queue.add_after("b", -1)
    assert await queue.get() == "b"


def test_delays_are_compared_on_uvloop_too() -> None:
    async def play() -> None:
        queue = WorkQueue()
        queue.add_after("a", 0)
        queue.add_after("a", 3600)
        queue.add_after("b", 3600)
        queue.add_after("b", 0)
        assert sorted([await queue.get(), await queue.get()]) == ["a", "b"]

    uvloop.run(play())


async def test_a_key_is_tried_again_by_itself() -> None:
    queue = WorkQueue()
    queue.retry("a")
    assert await queue.get() == "a"


async def test_the_backlog_waits_for_what_is_fresh() -> None:
    queue = WorkQueue()
    for key in "xyz":
        queue.add_backlog(key)
    for key in "ab":
        queue.add(key)
    assert await taken(queue) == ["a", "b", "x", "y", "z"]


async def test_a_key_of_the_backlog_that_becomes_fresh_comes_once_and_first() -> None:
    queue = WorkQueue()
    for key in "xyz":
        queue.add_backlog(key)
    queue.add("z")
    queue.add_backlog("z")
    assert await taken(queue) == ["z", "x", "y"]


async def test_a_key_in_work_comes_again_from_the_backlog_too() -> None:
    queue = WorkQueue()
    queue.add("a")
    assert await queue.get() == "a"
    queue.add_backlog("a")
    assert len(queue) == 0
    queue.done("a")
    assert await taken(queue) == ["a"]


async def test_the_backlog_does_not_starve() -> None:
    queue = WorkQueue()
    queue.add_backlog("x")
    order: list[str] = []
    for number in range(3 * BACKLOG_SHARE):
        queue.add(f"fresh-{number}")
        queue.add(f"another-{number}")
        order.append(await queue.get())
    assert order.index("x") == BACKLOG_SHARE - 1


async def test_a_worker_is_woken_for_the_backlog() -> None:
    queue = WorkQueue()
    worker = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add_backlog("a")
    assert await worker == "a"


async def test_the_time_of_the_work_is_told() -> None:
    times: list[float] = []
    queue = WorkQueue(times.append)
    queue.add("a")
    await queue.get()
    await asyncio.sleep(0.01)
    queue.done("a")
    [seconds] = times
    assert seconds >= 0.01


async def test_the_time_of_the_wait_is_told_but_not_of_the_backlog() -> None:
    waits: list[float] = []
    queue = WorkQueue(waited=waits.append)
    queue.add("a")
    queue.add_backlog("b")
    await asyncio.sleep(0.02)
    queue.add("a")
    assert [await queue.get(), await queue.get()] == ["a", "b"]
    # One that comes again waits from the end of the work on.
    queue.add("a")
    await asyncio.sleep(0.02)
    queue.done("a")
    assert await queue.get() == "a"
    assert waits[0] >= 0.02
    assert len(waits) == 2
    assert waits[1] < 0.02


async def test_a_closed_queue_forgets_what_was_to_come_later() -> None:
    queue = WorkQueue()
    queue.add_after("a", 0)
    queue.close()
    await asyncio.sleep(0.01)
    assert len(queue) == 0


def delays(queue: WorkQueue, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    seen: list[float] = []

    def note(_: str, seconds: float) -> None:
        seen.append(seconds)

    monkeypatch.setattr(queue, "add_after", note)
    return seen


async def test_retries_are_put_off_more_and_more_until_the_key_is_dealt_with(monkeypatch: pytest.MonkeyPatch) -> None:
    queue = WorkQueue()
    seen = delays(queue, monkeypatch)
    for _ in range(3):
        queue.retry("a")
    queue.retry("b")
    queue.forget("a")
    queue.retry("a")
    for delay, least in zip(seen, [0.05, 0.1, 0.2, 0.05, 0.05], strict=True):
        assert least <= delay <= 1.25 * least


async def test_the_server_s_wish_is_heeded(monkeypatch: pytest.MonkeyPatch) -> None:
    queue = WorkQueue()
    seen = delays(queue, monkeypatch)
    queue.retry("a", at_least=7)
    assert 7 <= seen[0] <= 8.75


@given(st.lists(st.tuples(st.sampled_from(["add", "backlog", "take", "done"]), st.sampled_from("abc"))))
def test_no_key_is_lost_and_none_is_in_work_twice(steps: list[tuple[str, str]]) -> None:
    async def play() -> None:
        queue, working, wanted = WorkQueue(), set[str](), set[str]()
        for step, key in steps:
            if step in {"add", "backlog"}:
                (queue.add if step == "add" else queue.add_backlog)(key)
                wanted.add(key)
            elif step == "take" and len(queue):
                next_key = await queue.get()
                assert next_key not in working
                assert next_key in wanted
                wanted.discard(next_key)
                working.add(next_key)
            elif step == "done" and key in working:
                queue.done(key)
                working.discard(key)
        for key in working:
            queue.done(key)
        assert set(await taken(queue)) == wanted

    asyncio.run(play())
