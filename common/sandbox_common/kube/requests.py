"""Counts requests to the API server."""

from collections.abc import Callable

from prometheus_client import Counter


def request_counter(prefix: str) -> Callable[[str, int], None]:
    """A function that counts an answered request by HTTP method and status code, in a metric with this prefix."""
    requests = Counter(
        f"{prefix}_api_requests",
        "Answered requests to the API server, by verb and status code.",
        ["verb", "code"],
    )
    return lambda verb, code: requests.labels(verb, code).inc()
