"""The requests under way to each sandbox, so that they can be cut."""

from typing import Protocol


class Flight(Protocol):
    """A request that an agent server has, or is about to get."""

    @property
    def runtime_id(self) -> str | None:
        """Of the sandbox that it goes to."""
        ...

    def cut(self) -> None:
        """Break it off: its sandbox is going. It leaves."""
        ...


class Flights(set[Flight]):
    """All of one gateway process. Every request joins and leaves; looking through them all is left to the rare cut."""

    def cut(self, runtime_id: str) -> None:
        """Cut those to this sandbox."""
        for flight in [flight for flight in self if flight.runtime_id == runtime_id]:
            flight.cut()
