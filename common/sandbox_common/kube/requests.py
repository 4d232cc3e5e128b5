"""Requests to the API server, counted."""

from collections.abc import Callable

from prometheus_client import Counter


def request_counter(prefix: str) -> Callable[[str, int], None]:
    """A function that counts one answered request by HTTP method and status code, in a metric of this prefix."""
    requests = Counter(
        f"{prefix}_api_requests",
        "Requests to the API server that were answered, by verb and status code.",
        ["verb", "code"],
    )
    return lambda verb, code: requests.labels(verb, code).inc()
