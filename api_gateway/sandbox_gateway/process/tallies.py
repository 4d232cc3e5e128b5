"""Requests and bytes that pass the listener, for `/metrics`."""

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
"""One request in this many is timed."""
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
    """Nowhere: the gateway itself answers."""


class Tally:
    """Sums over the requests of one route: plain numbers, for one thread. `TallyCollector` reads them."""

    __slots__ = ("added", "added_seconds", "answers", "received", "route", "sent")

    def __init__(self, route: Route) -> None:
        self.route = route
        self.answers = [0] * 10
        """Requests by the first digit of their answer's status; 0 for requests without an answer."""
        self.received = 0
        """Bytes from clients."""
        self.sent = 0
        """Bytes to clients."""
        self.added = [0] * (len(_BUCKETS) + 1)
        self.added_seconds = 0.0

    def add(self, seconds: float) -> None:
        """The gateway delayed one request by this much."""
        self.added[bisect_left(_BUCKETS, seconds)] += 1
        self.added_seconds += seconds


TALLIES = {route: Tally(route) for route in Route}


class TallyCollector(Collector):
    """Exports the tallies as metrics."""

    def __init__(self, tallies: Iterable[Tally]) -> None:
        self._tallies = list(tallies)

    @override
    def collect(self) -> Iterable[Metric]:
        requests = CounterMetricFamily(
            f"{PREFIX}_requests",
            "Finished requests of clients, by route (gateway: answered by the gateway itself) and by class of status "
            "code (none: no answer). A WebSocket counts when its handshake ends.",
            labels=["route", "code"],
        )
        received = CounterMetricFamily(
            f"{PREFIX}_received_bytes",
            "Bytes of requests and WebSockets from clients, heads included.",
            labels=["route"],
        )
        sent = CounterMetricFamily(
            f"{PREFIX}_sent_bytes", "Bytes of answers and WebSockets to clients, heads included.", labels=["route"]
        )
        added = HistogramMetricFamily(
            f"{PREFIX}_added_seconds",
            f"Seconds that the gateway added to a request, measured for one in {TIMED_OF}: from its complete head "
            "until it is forwarded, connecting included, and from the first byte of the answer until its head is "
            "forwarded. Without the wait for a sandbox to wake, and for the event loop.",
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
