"""Metrics of pools, for `/metrics`."""

from prometheus_client import Counter, Gauge

from sandbox_crds.models import SandboxPoolStatus

_PREFIX = "openhands_sandbox_pool"

CLAIMS = Counter(f"{_PREFIX}_claims", "Sandboxes that claimed a warm pod at their first start, by pool.", ["pool"])
MISSES = Counter(f"{_PREFIX}_misses", "Sandboxes that started cold, by the reason for the miss.", ["reason"])
PODS = Gauge(f"{_PREFIX}_pods", "Pods of a pool, by state; those that are not claimed are free.", ["pool", "state"])
WANTED = Gauge(f"{_PREFIX}_wanted_pods", "Desired number of free pods of a pool.", ["pool"])
FAILURES = Counter(
    f"{_PREFIX}_refill_failures",
    "Free pods that failed or were refused; reasons are those of the condition Ready of a Sandbox.",
    ["pool", "reason"],
)


def show(pool: str, status: SandboxPoolStatus) -> None:
    """Set the gauges of one pool."""
    counts = {
        "ready": status.ready_replicas,
        "starting": status.starting_replicas,
        "failing": status.failing_replicas,
        "claimed": status.claimed_pods,
    }
    for state, count in counts.items():
        PODS.labels(pool, state).set(count)
    WANTED.labels(pool).set(status.desired_replicas)


def forget(pool: str) -> None:
    """Remove the gauges of a pool that is gone, or that another operator now keeps filled."""
    for gauge in (PODS, WANTED):
        gauge.remove_by_labels({"pool": pool})
