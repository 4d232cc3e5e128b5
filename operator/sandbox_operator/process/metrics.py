"""Metrics of the operator, for `/metrics` on the port of its probes."""

from prometheus_client import Counter, Gauge, Histogram

from sandbox_common.kube.requests import request_counter

_PREFIX = "openhands_sandbox_operator"

LEADER = Gauge(f"{_PREFIX}_leader", "1 while this operator leads, 0 while it stands by.")
TERMS = Counter(f"{_PREFIX}_terms", "How often this operator has become the leader.")
QUEUE_DEPTH = Gauge(f"{_PREFIX}_queue_depth", "Sandboxes that wait for a worker.")
HELD_BACK = Gauge(f"{_PREFIX}_held_back", "Sandboxes that wait because their owner has reached a limit.")
SANDBOXES = Gauge(f"{_PREFIX}_sandboxes", "Sandboxes in the cache.")
PODS = Gauge(f"{_PREFIX}_pods", "Pods in the cache, including those of pools.")
RECONCILE_SECONDS = Histogram(
    f"{_PREFIX}_reconcile_seconds",
    "Time of one pass over one sandbox, including requests.",
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
count_request = request_counter(_PREFIX)
