"""The panels, and what each one asks Prometheus."""

from dataclasses import dataclass

_HERE = 'namespace="$namespace"'
_WINDOW = "[$__rate_interval]"
_GATEWAY = "openhands_sandbox_gateway"
_OPERATOR = "openhands_sandbox_operator"
_POOL = "openhands_sandbox_pool"


@dataclass(frozen=True)
class Query:
    """One query of a panel, and the name of its series, with `{{label}}` for the value of a label."""

    expression: str
    legend: str


@dataclass(frozen=True)
class Panel:
    """A graph over time. `unit` is one of Grafana's."""

    title: str
    queries: tuple[Query, ...]
    unit: str = "short"
    description: str = ""


@dataclass(frozen=True)
class Row:
    """Panels under one heading."""

    title: str
    panels: tuple[Panel, ...]


def _sum(expression: str, by: tuple[str, ...]) -> str:
    return f"sum by ({', '.join(by)}) ({expression})" if by else f"sum({expression})"


def _now(metric: str, legend: str, *by: str) -> Query:
    """The sum of a gauge over all replicas."""
    return Query(_sum(f"{metric}{{{_HERE}}}", by), legend)


def _rate(metric: str, legend: str, *by: str, where: str = "") -> Query:
    """How fast a counter grows in a second."""
    return Query(_sum(f"rate({metric}{{{_HERE}{where}}}{_WINDOW})", by), legend)


def _per_minute(metric: str, legend: str, *by: str) -> Query:
    """How fast a counter grows in a minute."""
    return Query(f"60 * {_rate(metric, legend, *by).expression}", legend)


def _quantiles(histogram: str, legend: str, *by: str, where: str = "") -> tuple[Query, ...]:
    """Median and 99th percentile of a histogram."""
    buckets = _sum(f"rate({histogram}_bucket{{{_HERE}{where}}}{_WINDOW})", (*by, "le"))
    return tuple(
        Query(f"histogram_quantile({quantile}, {buckets})", f"{legend} {name}".strip())
        for quantile, name in ((0.5, "p50"), (0.99, "p99"))
    )


ROWS = (
    Row(
        "Starts",
        (
            Panel(
                "Starts that ended, per minute",
                (_per_minute(f"{_GATEWAY}_start_seconds_count", "{{launch}} {{result}}", "launch", "result"),),
                description="By launch (cold, warm, resume) and result.",
            ),
            Panel(
                "Time to ready",
                _quantiles(f"{_GATEWAY}_start_seconds", "{{launch}}", "launch", where=',result="Ready"'),
                "s",
            ),
            Panel(
                "Answers to /start, per minute",
                (_per_minute(f"{_GATEWAY}_starts_total", "{{result}}", "result"),),
            ),
        ),
    ),
    Row(
        "Sandboxes and pools",
        (
            Panel(
                "Sandboxes",
                (
                    Query(f"max by (reason) ({_OPERATOR}_sandboxes{{{_HERE}}}) > 0", "{{reason}}"),
                    Query(f"max({_OPERATOR}_pods{{{_HERE}}})", "pods"),
                    Query(f"max({_OPERATOR}_held_back{{{_HERE}}})", "held back by a limit"),
                ),
                description="Every operator has all sandboxes in memory, so this is the greatest number of one.",
            ),
            Panel(
                "Pods of pools",
                (
                    _now(f"{_POOL}_pods", "{{pool}} {{state}}", "pool", "state"),
                    _now(f"{_POOL}_wanted_pods", "{{pool}} wanted", "pool"),
                ),
            ),
            Panel(
                "Claims and misses, per minute",
                (
                    _per_minute(f"{_POOL}_claims_total", "{{pool}} claimed", "pool"),
                    _per_minute(f"{_POOL}_misses_total", "missed: {{reason}}", "reason"),
                ),
            ),
            Panel(
                "Failures of refills, per minute",
                (_per_minute(f"{_POOL}_refill_failures_total", "{{pool}} {{reason}}", "pool", "reason"),),
            ),
        ),
    ),
    Row(
        "Gateway",
        (
            Panel("Requests", (_rate(f"{_GATEWAY}_requests_total", "{{route}}", "route"),), "reqps"),
            Panel(
                "Requests that failed",
                (
                    _rate(
                        f"{_GATEWAY}_requests_total",
                        "{{route}} {{code}}",
                        "route",
                        "code",
                        where=',code=~"5xx|none"',
                    ),
                ),
                "reqps",
                "Answers of 500 and above, and requests without an answer. The route `gateway` has those for sandboxes "
                "that are down, such as paused ones.",
            ),
            Panel(
                "Time that the gateway adds",
                _quantiles(f"{_GATEWAY}_added_seconds", "{{route}}", "route"),
                "s",
            ),
            Panel(
                "Requests in progress",
                (
                    _now(f"{_GATEWAY}_exchanges", "to sandboxes"),
                    _now(f"{_GATEWAY}_websockets", "WebSockets"),
                ),
            ),
            Panel(
                "Held requests",
                (
                    _now(f"{_GATEWAY}_held_requests", "for sandboxes that wake"),
                    _now(f"{_GATEWAY}_held_calls", "calls of the Runtime API"),
                ),
            ),
            Panel(
                "Traffic",
                (
                    _rate(f"{_GATEWAY}_received_bytes_total", "{{route}} received", "route"),
                    _rate(f"{_GATEWAY}_sent_bytes_total", "{{route}} sent", "route"),
                ),
                "Bps",
            ),
            Panel(
                "Lost, per minute",
                (
                    _per_minute(f"{_GATEWAY}_refused_connections_total", "refused connections"),
                    _per_minute(f"{_GATEWAY}_access_log_dropped_total", "lines of the access log"),
                ),
            ),
        ),
    ),
    Row(
        "Operator and API server",
        (
            Panel("Leader", (_now(f"{_OPERATOR}_leader", "{{pod}}", "pod"),), description="1: this operator leads."),
            Panel("Queue", (_now(f"{_OPERATOR}_queue_depth", "sandboxes that wait for a worker"),)),
            Panel("Reconcile time", _quantiles(f"{_OPERATOR}_reconcile_seconds", ""), "s"),
            Panel(
                "Requests to the API server",
                (
                    _rate(f"{_OPERATOR}_api_requests_total", "operator {{code}}", "code"),
                    _rate(f"{_GATEWAY}_api_requests_total", "gateway {{code}}", "code"),
                ),
                "reqps",
            ),
            Panel(
                "Changes of the leader",
                (Query(f"sum(increase({_OPERATOR}_terms_total{{{_HERE}}}{_WINDOW}))", "terms"),),
            ),
            Panel(
                "Objects that cannot be read",
                (_now("openhands_sandbox_unreadable_objects_total", "{{resource}}", "resource"),),
                description="Since the processes started. Their logs name the objects.",
            ),
        ),
    ),
)
