"""When garbage is collected."""

import asyncio
import gc
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from sandbox_common import collector


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    thresholds = gc.get_threshold()
    gc.freeze()  # what other tests have left takes a second to search, each time
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)
    gc.enable()


def test_nothing_is_collected_before_the_caches_are_filled_and_what_they_hold_not_afterwards() -> None:
    collector.postpone()
    assert not gc.isenabled()
    cache = [{"name": str(number)} for number in range(100)]
    collector.settle()
    assert gc.isenabled()
    assert gc.get_freeze_count() >= len(cache)
    assert not any(entry in gc.get_objects() for entry in cache)


class Circle:
    """Holds itself, and some bytes."""

    def __init__(self, size: int, gone: Callable[[], None]) -> None:
        self.held = bytearray(size)
        self.itself = self
        self.gone = gone

    def __del__(self) -> None:
        self.gone()


def test_what_has_passed_is_searched_when_it_is_much() -> None:
    collector.postpone()
    size = collector.PASSED_BYTES // 4
    gone: list[int] = []
    for number in range(40):
        Circle(size, partial(gone.append, number))
        collector.passed(size)
        assert number - len(gone) < 4


async def test_circles_of_few_objects_and_many_bytes_go_when_memory_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collector, "LOOK_SECONDS", 0.01)
    collector.postpone()
    at_first, gone = collector.resident(), asyncio.Event()
    tending = asyncio.create_task(collector.tend())
    await asyncio.sleep(0)
    # So much that the C library asks the system for it: what others have freed is resident already.
    Circle(max(at_first // 2, 2**26), gone.set)
    assert not gone.is_set()
    await asyncio.wait_for(gone.wait(), 20)
    tending.cancel()


async def test_all_is_searched_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collector, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(collector, "LONGEST_SECONDS", 0.05)
    collector.postpone()
    gone = asyncio.Event()
    old = Circle(1, gone.set)
    gc.collect()  # it is of the oldest generation now
    del old
    assert not gone.is_set()
    tending = asyncio.create_task(collector.tend())
    await asyncio.wait_for(gone.wait(), 20)
    tending.cancel()
