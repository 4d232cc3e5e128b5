"""Shared reads: few of them, none too old, and no failure that outlives its read."""

import asyncio

import pytest

from sandbox_gateway.sandboxes.reads import SharedReads


class Shelf:
    """What is read: the number of the read, once `go_on` is set."""

    def __init__(self) -> None:
        self.begun = 0
        self.go_on = asyncio.Event()
        self.reads = SharedReads(self._read)

    async def _read(self, name: str) -> str:
        self.begun += 1
        number = self.begun
        await self.go_on.wait()
        if name == "broken":
            raise OSError(number)
        return f"{name} {number}"

    async def ask(self, name: str, times: int = 1) -> list[asyncio.Task[str]]:
        """Ask, and let that take effect."""
        asked = [asyncio.create_task(self.reads.get(name)) for _ in range(times)]
        await asyncio.sleep(0.01)
        return asked


async def test_who_asks_at_once_shares_a_read_and_who_asks_later_the_next() -> None:
    shelf = Shelf()
    first = await shelf.ask("a", 100)
    later = await shelf.ask("a", 100)
    assert shelf.begun == 1
    other = await shelf.ask("b")
    assert shelf.begun == 2
    shelf.go_on.set()
    assert set(await asyncio.gather(*first)) == {"a 1"}
    assert set(await asyncio.gather(*later)) == {"a 3"}
    assert await other[0] == "b 2"
    assert await shelf.reads.get("a") == "a 4"


async def test_a_failure_is_told_to_those_who_shared_it_and_the_next_read_is_new() -> None:
    shelf = Shelf()
    first, later = await shelf.ask("broken", 2), await shelf.ask("broken", 2)
    shelf.go_on.set()
    for asked, number in ((first, "1"), (later, "2")):
        for task in asked:
            with pytest.raises(OSError, match=number):
                await task


async def test_who_goes_away_takes_no_one_along() -> None:
    shelf = Shelf()
    [gone, stays], [next_gone] = await shelf.ask("a", 2), await shelf.ask("a")
    gone.cancel()
    next_gone.cancel()
    await asyncio.sleep(0.01)
    shelf.go_on.set()
    assert await stays == "a 1"
    assert await shelf.reads.get("a") in {"a 2", "a 3"}
