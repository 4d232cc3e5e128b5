"""Metrics of the operator, for `/metrics` on the port of its probes."""

from prometheus_client import Counter, Gauge, Histogram

from sandbox_common.kube.requests import request_counter

_PREFIX = "openhands_sandbox_operator"

LEADER = Gauge(f"{_PREFIX}_leader", "1 while this operator leads, 0 while it stands by.")
TERMS = Counter(f"{_PREFIX}_terms", "How often this operator has become the leader.")
QUEUE_SECONDS = Histogram(
    f"{_PREFIX}_queue_seconds",
    "Seconds for which a sandbox with a known change waited for a worker.",
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
QUEUE_DEPTH = Gauge(f"{_PREFIX}_queue_depth", "Sandboxes that wait for a worker.")
HELD_BACK = Gauge(f"{_PREFIX}_held_back", "Sandboxes that wait because their owner has reached a limit.")
HELD_BACK_SECONDS = Histogram(
    f"{_PREFIX}_held_back_seconds",
    "Seconds for which a sandbox was held back by a limit of its owner before it could start.",
    buckets=(1, 5, 15, 30, 60, 120, 300, 600, 1800, 3600, 14400),
)
SANDBOXES = Gauge(
    f"{_PREFIX}_sandboxes",
    "Sandboxes in the cache, by the reason of the condition Ready; without one: Pending.",
    ["reason"],
)
PODS = Gauge(f"{_PREFIX}_pods", "Pods in the cache, including those of pools.")
RECONCILE_SECONDS = Histogram(
    f"{_PREFIX}_reconcile_seconds",
    "Time of one pass over one sandbox, including requests.",
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
START_SECONDS = Histogram(
    f"{_PREFIX}_start_seconds",
    "Seconds of each start until this operator has reported the sandbox as Ready or, for the first time, as Failed. By "
    "launch: Cold or Warm for the first start, Resume after a suspension, Restart for one that ran or had failed.",
    ["launch", "result"],
    buckets=(0.01, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600),
)
SUSPENSIONS = Counter(
    f"{_PREFIX}_suspensions", "Sandboxes that this operator has reported as suspended, without a pod.", ["cause"]
)
DELETIONS = Counter(
    f"{_PREFIX}_deletions",
    "Deleted Sandboxes: by this operator at a time limit, or by others (Requested) while it led.",
    ["cause"],
)
FAILURES = Counter(
    f"{_PREFIX}_failures",
    "How often this operator has given the condition Ready of a sandbox a reason that is a failure, final or passing.",
    ["reason"],
)
LOSSES = Counter(f"{_PREFIX}_losses", "Lost pods and volumes that this operator has reported.", ["reason"])
STATUS_LAG_SECONDS = Histogram(
    f"{_PREFIX}_status_lag_seconds",
    "Seconds from when the watch showed that the pod of a start is ready until the sandbox was reported as Ready.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
PULL_SECONDS = Histogram(
    f"{_PREFIX}_pull_seconds",
    "Seconds of a pull for a pod of a sandbox or a pool, without its wait for other pulls, as the kubelet reports it.",
    buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600, 1800),
)
IDLE_BLOCKED = Gauge(
    f"{_PREFIX}_idle_blocked",
    "1 while this operator suspends nothing for idleness, because a gateway does not answer, or none is found by name.",
)
USAGE_FAILING = Gauge(
    f"{_PREFIX}_usage_failing_owners",
    "Owners whose usage this operator could not write at its last attempt; 1 if it could not read the records.",
)
count_request = request_counter(_PREFIX)
