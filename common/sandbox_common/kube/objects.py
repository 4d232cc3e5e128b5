"""Objects of one resource, as the process has last seen them."""

import asyncio
from collections.abc import Iterator


class Objects[T]:
    """Objects by name. Subclasses fill it."""

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
    """A reader of objects that must first read all of them once."""

    def __init__(self) -> None:
        self._synced = asyncio.Event()

    @property
    def synced(self) -> bool:
        """Whether all objects have been read once."""
        return self._synced.is_set()

    async def wait_synced(self) -> None:
        """Return once all objects have been read."""
        await self._synced.wait()
