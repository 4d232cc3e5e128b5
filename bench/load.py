"""Load on whatever starts pods: a protocol for the thing under load, bursts, and arrivals on schedule."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from bench.cpu import Cpu
from bench.crowd import side_by_side
from bench.figures import difference, each, rate, spread
from bench.plane import Plane
from sandbox_common.kube import Informer

READY_SECONDS = 60.0
"""A start that takes longer counts as failed."""


class Adapter(Protocol):
    """One way to start pods. Write one for each controller that shall be compared.

    Names are unique within a run of the benchmark. A request that is refused raises; it counts as failed.
    """

    title: str
    at_once: int
    """The most requests in progress at a time, as a reasonable client of this API would have."""

    async def create(self, name: str) -> None:
        """Ask for one that is started cold."""
        ...

    async def claim(self, name: str) -> None:
        """Ask for a warm one."""
        ...

    async def fill(self, size: int) -> None:
        """Keep this many warm ones, and return when they are ready to be claimed."""
        ...

    async def warm(self, names: Iterable[str]) -> int:
        """How many of these ready ones had been warm."""
        ...

    def watch_ready(self, report: Callable[[str], None]) -> AbstractAsyncContextManager[None]:
        """While the context lasts, report the name of each ready one, as soon as a client can know it."""
        ...

    async def delete(self, name: str) -> None:
        """Ask for the end of one."""
        ...

    async def gone(self) -> None:
        """Return when all deleted ones are gone."""
        ...


@dataclass
class Run:
    """The result of one load, in seconds. `waits` are from the moment when a start was due until it was ready."""

    title: str
    asked: int
    moments: list[float] = field(default_factory=list[float])
    waits: list[float] = field(default_factory=list[float])
    failures: list[str] = field(default_factory=list[str])
    cpu: dict[str, float] = field(default_factory=dict[str, float])
    requests: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    """Requests to the API server, by user agent and kind."""
    warm: int = 0

    @property
    def rate(self) -> float:
        """Ready sandboxes per second, from the beginning to the last one."""
        return rate(self.moments)

    @property
    def done(self) -> int:
        """How many became ready."""
        return len(self.moments)

    def summary(self) -> dict[str, Any]:
        """For JSON: times in milliseconds."""
        counts = sorted(self.requests.items())
        return {
            "asked": self.asked,
            "ready": self.done,
            "warm": self.warm,
            "failures": sorted(set(self.failures))[:5],
            "per_second": round(self.rate, 2),
            "ms": {name: round(1000 * value, 1) for name, value in asdict(spread(self.waits)).items()},
            "cpu_ms_each": {name: round(value, 2) for name, value in each(self.cpu, self.done).items()},
            "requests_each": {f"{who}: {what}": round(number / self.done, 3) for (who, what), number in counts}
            if self.done
            else {},
        }


def burst(count: int) -> list[float]:
    """All are due at once."""
    return [0.0] * count


def steady(per_second: float, seconds: float) -> list[float]:
    """Starts at even distances, even if earlier ones are not answered."""
    return [number / per_second for number in range(round(per_second * seconds))]


class Load:
    """One thing under load on this plane. `cpu` knows its processes."""

    def __init__(self, adapter: Adapter, plane: Plane, cpu: Cpu) -> None:
        self.adapter = adapter
        self._plane = plane
        self._cpu = cpu
        self._ready: dict[str, asyncio.Future[float]] = {}
        self._number = 0

    async def run(self, ask: Callable[[str], Any], due: Sequence[float], prefix: str) -> Run:
        """Ask for one at each of these moments, in seconds from now; return when all are ready or have failed.

        Afterwards all are deleted, and this waits for their end, which is not measured.
        """
        self._number += 1
        names = [f"{prefix}-{self._number}-{number}" for number in range(len(due))]
        result = Run(self.adapter.title, len(due))
        async with self.adapter.watch_ready(self._report):
            await self._measure(ask, names, due, result)
            if ask == self.adapter.claim:
                result.warm = await self.adapter.warm(names)
            await self._clear(names)
        return result

    async def _measure(self, ask: Callable[[str], Any], names: Sequence[str], due: Sequence[float], into: Run) -> None:
        loop = asyncio.get_running_loop()
        self._ready = {name: loop.create_future() for name in names}
        slots = asyncio.Semaphore(self.adapter.at_once)
        audit, before, begin = self._plane.audit(), self._cpu.read(), loop.time()

        async def one(name: str, moment: float) -> None:
            await asyncio.sleep(begin + moment - loop.time())
            try:
                async with asyncio.timeout(READY_SECONDS):
                    async with slots:
                        await ask(name)
                    ready = await self._ready[name] - begin
            except Exception as error:
                into.failures.append(f"{type(error).__name__}: {error}")
                return
            into.moments.append(ready)
            into.waits.append(ready - moment)

        async with asyncio.TaskGroup() as group:
            for name, moment in zip(names, due, strict=True):
                group.create_task(one(name, moment))
        into.cpu = difference(self._cpu.read(), before)
        into.requests = audit.tally(self._plane.namespace)

    async def _clear(self, names: Sequence[str]) -> None:
        await side_by_side(self.adapter.delete, names)
        await self.adapter.gone()
        await self._cpu.settle()

    def _report(self, name: str) -> None:
        future = self._ready.get(name)
        if future and not future.done():
            future.set_result(asyncio.get_running_loop().time())


@asynccontextmanager
async def followed[T](informer: Informer[T]) -> AsyncGenerator[None]:
    """Meanwhile the informer follows its list, which it has read by then."""
    following = asyncio.create_task(informer.run())
    try:
        await informer.wait_synced()
        yield
    finally:
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following
