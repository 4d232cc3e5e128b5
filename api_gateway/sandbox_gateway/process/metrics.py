"""The gateway's metrics, for `/metrics` on the port of its probes."""

from prometheus_client import Counter, Gauge, Histogram

PREFIX = "openhands_sandbox_gateway"


class Level:
    """A gauge that each request changes: a number without the lock of a `Gauge`, for the thread of the loop only."""

    def __init__(self, name: str, documentation: str) -> None:
        self.value = 0
        Gauge(name, documentation).set_function(lambda: self.value)


READY = Gauge(f"{PREFIX}_ready", "1 while this process serves requests, 0 before and while it ends, as /readyz says.")
STARTS = Counter(
    f"{PREFIX}_starts",
    "Answers to /start. For a ready sandbox: how its pod was started (Cold, Warm, Resume), or Running if it was ready "
    "before. Otherwise Starting if the call's hold was over, or Failed.",
    ["result"],
)
START_SECONDS = Histogram(
    f"{PREFIX}_start_seconds",
    "Seconds of each start that a /start or /resume of this process began, or a request that woke an idle sandbox "
    "(Wake), from the call until the sandbox is Ready, has Failed, or was Paused or Deleted before; this may be long "
    "after the answer. By launch: how its pod was started. Without a pod: Cold, or Resume if the sandbox had been "
    "ready before.",
    ["launch", "result"],
    buckets=(0.01, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600),
)
HELD_CALLS = Gauge(f"{PREFIX}_held_calls", "Calls of the Runtime API that are held until their sandbox settles.")
STREAMS = Gauge(f"{PREFIX}_streams", "Open streams of the Runtime API: of events, and of logs.", ["kind"])
HELD_REQUESTS = Gauge(
    f"{PREFIX}_held_requests", "Requests that are held until their idle sandbox is awake, or known to this process."
)
EXCHANGES = Level(f"{PREFIX}_exchanges", "Requests to sandboxes in progress; WebSockets only as handshakes.")
REFUSED_CONNECTIONS = Counter(
    f"{PREFIX}_refused_connections", "Connections of clients that were refused because this process had its maximum."
)
UNPROVEN_CONNECTIONS = Counter(
    f"{PREFIX}_unproven_connections",
    "New connections to sandboxes that were closed unused: the pod does not have the address (pod), or the API server "
    "does not say whether it has (api_server).",
    ["cause"],
)
WEBSOCKETS = Gauge(f"{PREFIX}_websockets", "Open WebSockets.")
DROPPED_LINES = Counter(
    f"{PREFIX}_access_log_dropped",
    "Requests that are missing in the access log, because there were too many or the reader was too slow.",
)
DROPPED_LOG_LINES = Counter(
    f"{PREFIX}_log_dropped",
    "Lines that are missing in the process's own log, because the reader was too slow or gone.",
)
LOST_AUDIT_LINES = Counter(
    f"{PREFIX}_audit_lines_lost",
    "Lines that are missing in the audit log, because the reader was too slow or gone.",
)
LATE_AUDIT_LINES = Counter(
    f"{PREFIX}_audit_lines_late",
    "Answers that left before their line of the audit log was written, because the reader was too slow. If the process "
    "is killed before it writes them, these lines are lost.",
)
OMITTED_REFUSALS = Counter(
    f"{PREFIX}_audit_refusals_omitted",
    "Calls with an unknown API key that have no line in the audit log, because there were too many in one second.",
)
AUDIT_WAIT_SECONDS = Histogram(
    f"{PREFIX}_audit_wait_seconds",
    "Seconds for which each answer of the Runtime API waited until its line of the audit log was written.",
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 1),
)


def observe_start(launch: str, result: str, seconds: float) -> None:
    """One start has ended, with the labels `launch` and `result` of START_SECONDS."""
    START_SECONDS.labels(launch, result).observe(seconds)
