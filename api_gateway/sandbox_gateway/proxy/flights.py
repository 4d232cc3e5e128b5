"""The requests under way to each sandbox, so that they can be cut."""

from typing import Protocol


class Flight(Protocol):
    """A request that an agent server has, or is about to get."""

    def cut(self) -> None:
        """Break it off: its sandbox is going. It leaves."""
        ...


class Flights:
    """Flights by runtime id."""

    def __init__(self) -> None:
        self._flights: dict[str, set[Flight]] = {}

    def join(self, runtime_id: str, flight: Flight) -> None:
        flights = self._flights.get(runtime_id)
        if flights is None:
            self._flights[runtime_id] = {flight}
        else:
            flights.add(flight)

    def leave(self, runtime_id: str, flight: Flight) -> None:
        flights = self._flights[runtime_id]
        flights.remove(flight)
        if not flights:
            del self._flights[runtime_id]

    def cut(self, runtime_id: str) -> None:
        for flight in list(self._flights.get(runtime_id, ())):
            flight.cut()
