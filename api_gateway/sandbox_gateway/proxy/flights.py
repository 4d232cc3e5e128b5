"""The requests in progress to each sandbox, so that they can be cut."""

from typing import Protocol


class Flight(Protocol):
    """A request that an agent server has, or will get at once."""

    @property
    def runtime_id(self) -> str | None:
        """The sandbox to which it goes."""
        ...

    def cut(self) -> None:
        """Break it off, since its sandbox goes. It then leaves the set."""
        ...


class Flights(set[Flight]):
    """The requests of one gateway process. Joining and leaving are cheap; only the rare `cut` looks at all of them."""

    def cut(self, runtime_id: str) -> None:
        """Cut the requests to this sandbox."""
        for flight in [flight for flight in self if flight.runtime_id == runtime_id]:
            flight.cut()
