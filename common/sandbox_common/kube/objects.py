"""Objects of one resource, as a process has last seen them."""

from collections.abc import Iterator


class Objects[T]:
    """By name; whoever follows the API server fills it."""

    def __init__(self) -> None:
        self._objects: dict[str, T] = {}

    def __iter__(self) -> Iterator[T]:
        return iter(self._objects.values())

    def __len__(self) -> int:
        return len(self._objects)

    def get(self, name: str) -> T | None:
        """The object of this name, as last seen."""
        return self._objects.get(name)
