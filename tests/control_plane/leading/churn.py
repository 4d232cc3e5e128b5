"""Sandboxes that are made, suspended, resumed and deleted without end, cold and warm."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

from control_plane.pools.basin import Basin
from sandbox_common.kube import ApiError

KEPT = "kept"
"""A class with volumes, and its pool."""
_PAUSES = (0.0, 0.05, 0.3, 1.0)


class Churn:
    """Each lane has one Sandbox at a time, of a name of its own, and does this and that with it."""

    def __init__(self, basin: Basin, seed: int) -> None:
        self._basin = basin
        self._random = random.Random(seed)
        self.done: Counter[str] = Counter()
        """What was done how often."""
        self.alive: dict[str, bool] = {}
        """The Sandboxes that must be there at the end, by name, and whether they are suspended."""

    @asynccontextmanager
    async def going_on(self, lanes: int) -> AsyncGenerator[None]:
        """Meanwhile so many lanes are busy; at the end each finishes what it has begun."""
        over = asyncio.Event()
        tasks = [asyncio.create_task(self._live(f"lane-{lane}", over)) for lane in range(lanes)]
        try:
            yield
            over.set()
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()

    async def _live(self, name: str, over: asyncio.Event) -> None:
        while not over.is_set():
            await self._step(name)
            with suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), self._random.choice(_PAUSES))

    async def _step(self, name: str) -> None:
        if name not in self.alive:
            kind = self._random.choice(["warm", "cold", "warm kept", "cold kept"])
            spec = {"warmStart": "Allowed" if "warm" in kind else "Never"}
            spec |= {"className": KEPT} if "kept" in kind else {}
            try:
                await self._basin.add(name, **spec)
            except ApiError as error:
                # The one of before is still on its way out.
                if error.code != 409:
                    raise
                return
            self.alive[name] = False
            self.done[f"create {kind}"] += 1
            return
        if self._random.random() < 0.35:
            await self._basin.delete(name)
            del self.alive[name]
            self.done["delete"] += 1
            return
        self.alive[name] = not self.alive[name]
        await self._basin.suspend(self.alive[name], name)
        self.done["suspend" if self.alive[name] else "resume"] += 1
