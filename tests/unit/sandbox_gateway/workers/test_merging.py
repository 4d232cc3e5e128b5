"""One answer from several workers' answers."""

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from sandbox_common.activity import Report, Use
from sandbox_gateway.workers.merging import merge_metrics, merge_reports


@pytest.mark.parametrize(
    ("reports", "merged"),
    [
        ([Report(5, {"a": Use(0, 3)})], Report(5, {"a": Use(0, 3)})),
        ([Report(5, {}), Report(2, {"a": Use(0, 1)})], Report(2, {"a": Use(0, 1)})),
        ([Report(5, {"a": Use(0, 4)}), Report(9, {"a": Use(0, 1)})], Report(5, {"a": Use(0, 1)})),
        ([Report(5, {"a": Use(2, 0)}), Report(9, {"a": Use(0, 7)})], Report(5, {"a": Use(2, 0)})),
        (
            [Report(5, {"a": Use(2, 0), "b": Use(0, 1)}), Report(9, {"a": Use(1, 0)}), Report(7, {"a": Use(4, 0)})],
            Report(5, {"a": Use(7, 0), "b": Use(0, 1)}),
        ),
    ],
)
def test_what_is_used_through_one_worker_is_used(reports: list[Report], merged: Report) -> None:
    assert merge_reports(reports) == merged
    assert merge_reports(reversed(reports)) == merged


def text(requests: int, sockets: int, seconds: float) -> str:
    registry = CollectorRegistry()
    Counter("requests", "Requests.", ["code"], registry=registry).labels("200").inc(requests)
    Gauge("sockets", "Sockets.", registry=registry).set(sockets)
    Histogram("seconds", "Seconds.", buckets=(1,), registry=registry).observe(seconds)
    return generate_latest(registry).decode()


def test_metrics_name_their_worker() -> None:
    merged = merge_metrics({"0": text(3, 1, 0.5), "1": text(4, 2, 2)}).decode()
    assert merged.count("# TYPE requests_total counter\n") == 1
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(merged)
        for sample in family.samples
        if not sample.name.endswith("_created")
    }
    assert samples == {
        ("requests_total", "200", "0"): 3,
        ("requests_total", "200", "1"): 4,
        ("sockets", "0"): 1,
        ("sockets", "1"): 2,
        ("seconds_bucket", "1.0", "0"): 1,
        ("seconds_bucket", "+Inf", "0"): 1,
        ("seconds_bucket", "1.0", "1"): 0,
        ("seconds_bucket", "+Inf", "1"): 1,
        ("seconds_count", "0"): 1,
        ("seconds_count", "1"): 1,
        ("seconds_sum", "0"): 0.5,
        ("seconds_sum", "1"): 2,
    }


def test_no_worker_has_no_metrics() -> None:
    assert merge_metrics({}) == b""
