"""What passes the listener, in numbers, for `/metrics`."""

from bisect import bisect_left
from collections.abc import Iterable
from enum import StrEnum
from itertools import accumulate
from typing import override

from prometheus_client import REGISTRY, Metric
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from sandbox_gateway.process.metrics import PREFIX

TIMED_OF = 16
"""One request of so many is timed."""
_BUCKETS = (0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 1.0)


class Route(StrEnum):
    """Where a request goes."""

    CONTROL = "control"
    """To the Runtime API."""
    SANDBOX = "sandbox"
    """To an agent server."""
    SERVICE = "service"
    """To another port of a sandbox."""
    WEBSOCKET = "websocket"
    """To any of a sandbox's ports, as a WebSocket."""
    GATEWAY = "gateway"
    """Nowhere: the gateway answers it by itself."""


class Tally:
    """The sums over one route's requests: plain numbers, for one thread. Read by `TallyCollector`."""

    __slots__ = ("added", "added_seconds", "answers", "received", "route", "sent")

    def __init__(self, route: Route) -> None:
        self.route = route
        self.answers = [0] * 10
        """Requests by the first digit of their answer's status; 0 for those that ended without one."""
        self.received = 0
        """Bytes from clients."""
        self.sent = 0
        """Bytes to clients."""
        self.added = [0] * (len(_BUCKETS) + 1)
        self.added_seconds = 0.0

    def add(self, seconds: float) -> None:
        """One request has been delayed by so much."""
        self.added[bisect_left(_BUCKETS, seconds)] += 1
        self.added_seconds += seconds


TALLIES = {route: Tally(route) for route in Route}


class TallyCollector(Collector):
    """Tells tallies as metrics."""

    def __init__(self, tallies: Iterable[Tally]) -> None:
        self._tallies = list(tallies)

    @override
    def collect(self) -> Iterable[Metric]:
        requests = CounterMetricFamily(
            f"{PREFIX}_requests",
            "Requests of clients that have ended, by where they went (gateway: answered by the gateway itself) and by "
            "class of status code (none: they ended without an answer). A WebSocket's ends with its handshake.",
            labels=["route", "code"],
        )
        received = CounterMetricFamily(
            f"{PREFIX}_received_bytes", "Bytes of requests and WebSockets from clients, with heads.", labels=["route"]
        )
        sent = CounterMetricFamily(
            f"{PREFIX}_sent_bytes", "Bytes of answers and WebSockets to clients, with heads.", labels=["route"]
        )
        added = HistogramMetricFamily(
            f"{PREFIX}_added_seconds",
            f"Time that the gateway has added to a request, of one in {TIMED_OF}: from its whole head until it is sent "
            "on, connecting included, and from the first byte of the answer until its head is sent on. Not the wait "
            "for a sandbox to wake, nor for the process to look at what has come.",
            labels=["route"],
        )
        for tally in self._tallies:
            route = tally.route.value
            for digit, count in enumerate(tally.answers):
                if count:
                    requests.add_metric([route, f"{digit}xx" if digit else "none"], count)
            received.add_metric([route], tally.received)
            sent.add_metric([route], tally.sent)
            if tally.route is not Route.GATEWAY:
                bounds = [*map(str, _BUCKETS), "+Inf"]
                added.add_metric(
                    [route], list(zip(bounds, accumulate(tally.added), strict=True)), sum_value=tally.added_seconds
                )
        return requests, received, sent, added


REGISTRY.register(TallyCollector(TALLIES.values()))
