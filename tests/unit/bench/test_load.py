"""Load on something that is ready when it says so: no API server."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from bench.cpu import Cpu
from bench.load import Load, Run, burst, steady
from bench.plane import Plane


class FakeAudit:
    def tally(self, namespace: str) -> Counter[tuple[str, str]]:
        return Counter({("client", f"create pods in {namespace}"): 3})


class FakePlane:
    namespace = "bench"

    def audit(self) -> FakeAudit:
        return FakeAudit()


class QuietCpu(Cpu):
    def __init__(self) -> None:
        super().__init__({})

    async def settle(self) -> None:
        pass


class Instant:
    """Ready as soon as asked; names that end in `bad` are refused."""

    title = "instant"

    def __init__(self, at_once: int = 4, bad: str = "-none") -> None:
        self.at_once = at_once
        self.bad = bad
        self.asking = self.most_at_once = 0
        self.alive: set[str] = set()
        self._report: Callable[[str], None] = print

    async def create(self, name: str) -> None:
        self.asking += 1
        self.most_at_once = max(self.most_at_once, self.asking)
        await asyncio.sleep(0.001)
        self.asking -= 1
        if name.endswith(self.bad):
            raise RuntimeError("refused")
        self.alive.add(name)
        self._report(name)

    async def claim(self, name: str) -> None:
        await self.create(name)

    async def fill(self, size: int) -> None:
        pass

    async def warm(self, names: Iterable[str]) -> int:
        return len(self.alive.intersection(names))

    @asynccontextmanager
    async def watch_ready(self, report: Callable[[str], None]) -> AsyncGenerator[None]:
        self._report = report
        yield

    async def delete(self, name: str) -> None:
        self.alive.discard(name)

    async def gone(self) -> None:
        assert not self.alive


def load(adapter: Instant) -> Load:
    return Load(adapter, cast(Plane, FakePlane()), QuietCpu())


def test_arrivals() -> None:
    assert burst(3) == [0, 0, 0]
    assert steady(10, 0.5) == [0, 0.1, 0.2, 0.3, 0.4]


async def test_a_burst_keeps_within_what_a_client_does_at_once() -> None:
    adapter = Instant(at_once=4)
    run = await load(adapter).run(adapter.create, burst(20), "n")
    assert (run.done, run.failures, run.warm) == (20, [], 0)
    assert adapter.most_at_once == 4
    assert adapter.alive == set()


async def test_waits_count_from_the_moment_when_a_start_was_due() -> None:
    adapter = Instant()
    run = await load(adapter).run(adapter.claim, [0.0, 0.05], "n")
    assert run.warm == 2
    assert [moment - wait for moment, wait in zip(run.moments, run.waits, strict=True)] == pytest.approx([0, 0.05])
    assert all(wait > 0 for wait in run.waits)


async def test_who_is_kept_waiting_for_a_slot_waits_since_it_was_due() -> None:
    adapter = Instant(at_once=1)
    run = await load(adapter).run(adapter.create, burst(10), "n")
    assert max(run.waits) >= 0.009


async def test_refusals_are_failures_and_the_rest_goes_on() -> None:
    adapter = Instant(bad="-1")
    run = await load(adapter).run(adapter.create, burst(3), "n")
    assert run.done == 2
    assert run.failures == ["RuntimeError: refused"]


async def test_names_differ_from_run_to_run() -> None:
    adapter = Instant()
    seen: set[str] = set()
    once = adapter.create

    async def create(name: str) -> None:
        assert name not in seen
        seen.add(name)
        await once(name)

    adapter.create = create
    driver = load(adapter)
    for _ in range(2):
        await driver.run(adapter.create, burst(2), "n")
    assert len(seen) == 4


def test_summary_is_per_start_and_in_milliseconds() -> None:
    requests = Counter({("sandbox-operator", "create pods"): 2})
    run = Run("x", 3, [0.5, 1.0], [0.01, 0.03], ["refused"], {"etcd": 0.004}, requests, 1)
    summary: dict[str, Any] = run.summary()
    assert summary == {
        "asked": 3,
        "ready": 2,
        "warm": 1,
        "failures": ["refused"],
        "per_second": 2.0,
        "ms": {"p50": 10.0, "p90": 30.0, "p99": 30.0, "most": 30.0},
        "cpu_ms_each": {"etcd": 2.0},
        "requests_each": {"sandbox-operator: create pods": 1.0},
    }
