"""What Prometheus has scraped of a simulated installation: an hour of healthy churn, then minutes of one failure."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from unit.helm.rendering import NAMESPACE

SCRAPE_SECONDS = 30
HEALTHY = 120
"""Scrapes of the healthy hour."""
FAILING = 4
"""Scrapes of the two minutes after it."""
_BUCKETS = (0.1, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600)


class Process:
    """One replica: its counters and gauges by name with labels, and what was scraped of them."""

    def __init__(self, pod: str) -> None:
        self._pod = pod
        self._values: dict[tuple[str, str], float] = {}
        self._scraped: dict[tuple[str, str], list[str]] = {}
        self._ended = False

    def set(self, name: str, value: float, **labels: str) -> None:
        """Set a gauge."""
        self._values[name, _text(labels)] = value

    def add(self, name: str, count: float = 1, **labels: str) -> None:
        """Count, from 0 on if it is new."""
        key = name, _text(labels)
        self._values[key] = self._values.get(key, 0) + count

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Observe a value of a histogram."""
        for bound in _BUCKETS:
            self.add(f"{name}_bucket", value <= bound, **labels, le=str(bound))
        self.add(f"{name}_bucket", 1, **labels, le="+Inf")
        self.add(f"{name}_count", 1, **labels)

    def end(self) -> None:
        """It cannot be scraped any more."""
        self._ended = True

    def scrape(self, number: int) -> None:
        """One scrape, the one of this number."""
        for key, value in self._values.items():
            samples = self._scraped.setdefault(key, ["_"] * number)
            if not self._ended:
                samples.append(f"{value:g}")
            else:
                # As Prometheus notes it once when a target is gone.
                samples.append("_" if samples[-1] in {"_", "stale"} else "stale")

    def series(self) -> list[dict[str, str]]:
        """In promtool's form."""
        own = f'namespace="{NAMESPACE}",pod="{self._pod}"'
        return [
            {"series": f"{name}{{{own}{labels}}}", "values": " ".join(samples)}
            for (name, labels), samples in self._scraped.items()
        ]


def _text(labels: Mapping[str, str]) -> str:
    return "".join(f',{name}="{value}"' for name, value in labels.items())


@dataclass
class Rates:
    """What happens in each interval. A failure changes it."""

    cold_seconds: float = 6.6
    failed: float = 0.02
    """Share of the starts."""
    api_codes: Mapping[str, float] = field(default_factory=lambda: {"200": 0.9, "201": 0.05, "409": 0.05})
    gateway_api_codes: Mapping[str, float] = field(default_factory=lambda: {"200": 0.95, "404": 0.05})
    control_codes: Mapping[str, float] = field(default_factory=lambda: {"2xx": 0.9, "4xx": 0.1})
    refused: int = 0
    dropped: int = 0
    lost: int = 0
    late: int = 0
    queue: int = 0


class Installation:
    """Two operators and two gateways with a pool, under load."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._gone: list[Process] = []
        self._scrapes = 0
        self.rates = Rates()
        self.pool = {"ready": 3, "starting": 0, "failing": 0, "claimed": 2}
        self.leader, self.standby = self._operator("operator-1", leads=1), self._operator("operator-2", leads=0)
        self.gateways = [self._gateway("gateway-1"), self._gateway("gateway-2")]

    def _operator(self, pod: str, leads: int) -> Process:
        operator = Process(pod)
        operator.set("openhands_sandbox_operator_leader", leads)
        operator.set("openhands_sandbox_operator_queue_depth", 0)
        operator.set("openhands_sandbox_operator_errors_total", 0, kind="sandbox")
        operator.set("openhands_sandbox_operator_idle_blocked", 0)
        operator.set("openhands_sandbox_operator_usage_failing_owners", 0)
        return operator

    def _gateway(self, pod: str) -> Process:
        gateway = Process(pod)
        gateway.set("openhands_sandbox_gateway_ready", 1)
        gateway.set("openhands_sandbox_gateway_exchanges", 0)
        gateway.set("openhands_sandbox_gateway_refused_connections_total", 0)
        for name in ("access_log_dropped", "audit_lines_lost", "audit_lines_late"):
            gateway.set(f"openhands_sandbox_gateway_{name}_total", 0)
        return gateway

    def replace_leader(self, pod: str) -> None:
        """Its pod ends, and the standby leads. The next standby has this name."""
        self.leader.end()
        self._gone.append(self.leader)
        self.leader, self.standby = self.standby, self._operator(pod, leads=0)
        self.leader.set("openhands_sandbox_operator_leader", 1)

    def replace_gateway(self, pod: str) -> None:
        """The first one ends, and one with this name begins."""
        gone = self.gateways.pop(0)
        gone.end()
        self._gone.append(gone)
        self.gateways.append(self._gateway(pod))

    def scrape(self) -> None:
        """Prometheus scrapes all."""
        for process in (*self._gone, self.leader, self.standby, *self.gateways):
            process.scrape(self._scrapes)
        self._scrapes += 1

    def live(self) -> None:
        """An interval of load."""
        chance, rates = self._random, self.rates
        for _ in range(chance.randint(4, 8)):
            self._start()
        for code, share in rates.api_codes.items():
            self.leader.add(
                "openhands_sandbox_operator_api_requests_total", round(150 * share), verb="PATCH", code=code
            )
        for gateway in self.gateways:
            for code, share in rates.gateway_api_codes.items():
                gateway.add("openhands_sandbox_gateway_api_requests_total", round(20 * share), verb="GET", code=code)
            for code, share in rates.control_codes.items():
                gateway.add("openhands_sandbox_gateway_requests_total", round(40 * share), route="control", code=code)
            # Clients of paused sandboxes.
            gateway.add("openhands_sandbox_gateway_requests_total", chance.randint(0, 90), route="gateway", code="5xx")
            gateway.set("openhands_sandbox_gateway_exchanges", chance.randint(0, 60))
            gateway.add("openhands_sandbox_gateway_refused_connections_total", rates.refused)
            gateway.add("openhands_sandbox_gateway_access_log_dropped_total", rates.dropped)
            gateway.add("openhands_sandbox_gateway_audit_lines_lost_total", rates.lost)
            gateway.add("openhands_sandbox_gateway_audit_lines_late_total", rates.late)
        crowd = chance.randint(1, 200) if chance.random() < 0.03 else 0
        self.leader.set("openhands_sandbox_operator_queue_depth", max(rates.queue, crowd))
        self.leader.set("openhands_sandbox_pool_wanted_pods", 3, pool="agents")
        for state, count in self.pool.items():
            self.leader.set("openhands_sandbox_pool_pods", count, pool="agents", state=state)

    def _start(self) -> None:
        chance, name = self._random, "openhands_sandbox_gateway_start_seconds"
        gateway = chance.choice(self.gateways)
        if chance.random() < self.rates.failed:
            gateway.observe(name, chance.uniform(1, 30), launch="Cold", result="Failed")
        elif chance.random() < 0.4:
            gateway.observe(name, chance.uniform(0.2, 0.5), launch="Warm", result="Ready")
        else:
            # One in ten pulls its image.
            pull = chance.uniform(10, 60) if chance.random() < 0.1 else 0
            gateway.observe(
                name, self.rates.cold_seconds * chance.uniform(0.8, 1.3) + pull, launch="Cold", result="Ready"
            )

    def series(self) -> list[dict[str, str]]:
        """All that was scraped, in promtool's form."""
        processes = (*self._gone, self.leader, self.standby, *self.gateways)
        return [series for process in processes for series in process.series()]


def churn(installation: Installation, scrape: int) -> None:
    """What happens in a healthy hour besides load, before this scrape."""
    match scrape:
        case 20:  # a burst of starts empties the pool, and it is refilled
            installation.pool |= {"ready": 0, "starting": 3}
        case 22:
            installation.pool |= {"ready": 3, "starting": 0}
        case 35:  # one of its pods fails
            installation.pool |= {"ready": 2, "failing": 1}
            installation.leader.add("openhands_sandbox_pool_refill_failures_total", pool="agents", reason="Evicted")
        case 36:
            installation.pool |= {"ready": 2, "starting": 1, "failing": 0}
        case 37:
            installation.pool |= {"ready": 3, "starting": 0}
        case 50 | 80:  # an upgrade
            installation.replace_leader(f"operator-{scrape}")
        case 52 | 54 | 82 | 84:
            installation.replace_gateway(f"gateway-{scrape}")
        case 65 | 95:  # the API server restarts
            installation.leader.add("openhands_sandbox_operator_api_requests_total", 3, verb="PATCH", code="503")
            installation.gateways[0].add("openhands_sandbox_gateway_requests_total", 2, route="control", code="5xx")
        case _:
            pass


def after_an_hour(fail: Callable[[Installation], None], seed: int = 1) -> list[dict[str, str]]:
    """The series of a healthy hour, and of two minutes after `fail` has been called."""
    installation = Installation(seed)
    for scrape in range(HEALTHY + 1):
        churn(installation, scrape)
        installation.live()
        installation.scrape()
    fail(installation)
    for _ in range(FAILING):
        installation.live()
        installation.scrape()
    return installation.series()
