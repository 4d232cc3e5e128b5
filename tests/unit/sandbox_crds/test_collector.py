"""When garbage is collected."""

import gc
from collections.abc import Iterator

import pytest

from sandbox_crds import collector


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    thresholds = gc.get_threshold()
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
