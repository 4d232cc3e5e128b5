"""What the gateway counts, for `/metrics` on the port of its probes."""

from prometheus_client import Counter, Gauge, Histogram

PREFIX = "openhands_sandbox_gateway"


class Level:
    """A gauge that moves with each request: a number, without the lock of a `Gauge`. For one thread, the loop's."""

    def __init__(self, name: str, documentation: str) -> None:
        self.value = 0
        Gauge(name, documentation).set_function(lambda: self.value)


STARTS = Counter(
    f"{PREFIX}_starts",
    "Answers to /start: how the pod of a sandbox that is ready came to be (Cold, Warm, Resume; Running: it was ready "
    "before), or Starting when the time to hold the call was over, or Failed.",
    ["result"],
)
START_SECONDS = Histogram(
    f"{PREFIX}_start_seconds",
    "Time of each start that a /start or /resume of this process has begun, from the call to its end, however long "
    "after the answer: the sandbox was Ready, had Failed, or was Paused or Deleted before. By how its pod came to be; "
    "without one, Cold, or Resume if the sandbox had been ready before.",
    ["launch", "result"],
    buckets=(0.01, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600),
)
HELD_CALLS = Gauge(f"{PREFIX}_held_calls", "Calls of the Runtime API that are held until their sandbox has settled.")
HELD_REQUESTS = Gauge(
    f"{PREFIX}_held_requests", "Requests that are held until their idle sandbox is awake, or known to this process."
)
EXCHANGES = Level(f"{PREFIX}_exchanges", "Requests to sandboxes that are under way; WebSockets only as handshakes.")
REFUSED_CONNECTIONS = Counter(
    f"{PREFIX}_refused_connections", "Connections of clients that were one too many for this process."
)
WEBSOCKETS = Gauge(f"{PREFIX}_websockets", "Open WebSockets.")
DROPPED_LINES = Counter(
    f"{PREFIX}_access_log_dropped",
    "Requests that the access log should have told and has not: too many came, or nobody read it.",
)


def observe_start(launch: str, result: str, seconds: float) -> None:
    """One start has ended; `launch` and `result` are as START_SECONDS says."""
    START_SECONDS.labels(launch, result).observe(seconds)
