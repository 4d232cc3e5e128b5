"""Objects of one resource, as a process has last seen them."""

import asyncio
from collections.abc import Iterator


class Objects[T]:
    """By name; whoever follows the API server fills it."""

    def __init__(self) -> None:
        super().__init__()
        self._objects: dict[str, T] = {}

    def __iter__(self) -> Iterator[T]:
        return iter(self._objects.values())

    def __len__(self) -> int:
        return len(self._objects)

    def get(self, name: str) -> T | None:
        """The object of this name, as last seen."""
        return self._objects.get(name)


class Synced:
    """Whoever reads objects, and has to read all of them first."""

    def __init__(self) -> None:
        self._synced = asyncio.Event()

    @property
    def synced(self) -> bool:
        """Whether all have been read once."""
        return self._synced.is_set()

    async def wait_synced(self) -> None:
        """Return once all have been read."""
        await self._synced.wait()
