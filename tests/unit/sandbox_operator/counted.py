"""What the metrics of lives have counted."""

from collections.abc import Generator
from contextlib import contextmanager

from prometheus_client import REGISTRY

_PREFIX = "openhands_sandbox_operator_"
_COUNTED = {
    f"{_PREFIX}{name}": name.removesuffix("_total").removesuffix("_count")
    for name in (
        *("start_seconds_count", "suspensions_total", "deletions_total", "failures_total", "losses_total"),
        *("status_lag_seconds_count", "held_back_seconds_count", "pull_seconds_count"),
    )
}


def _values() -> dict[str, float]:
    return {
        " ".join((_COUNTED[sample.name], *sample.labels.values())): sample.value
        for metric in REGISTRY.collect()
        for sample in metric.samples
        if sample.name in _COUNTED
    }


@contextmanager
def counted() -> Generator[dict[str, int]]:
    """At the end, how much each series has grown, without those that have not: `start_seconds Cold Ready` and so on."""
    before, grown = _values(), dict[str, int]()
    yield grown
    grown.update(
        (series, int(value - before.get(series, 0)))
        for series, value in _values().items()
        if value != before.get(series, 0)
    )
