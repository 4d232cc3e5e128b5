"""Merges the workers' answers into one answer of their replica."""

from collections.abc import Iterable, Mapping
from typing import override

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from sandbox_common.activity import Report, Use

_LABEL = "worker"


def merge_reports(reports: Iterable[Report]) -> Report:
    """One report from at least one. The replica remembers only as far back as the worker with the shortest memory."""
    reports = list(reports)
    sandboxes: dict[str, Use] = {}
    for report in reports:
        for runtime_id, use in report.sandboxes.items():
            other = sandboxes.get(runtime_id)
            sandboxes[runtime_id] = use if other is None else _merge_uses(use, other)
    return Report(min(report.uptime_seconds for report in reports), sandboxes)


def _merge_uses(one: Use, other: Use) -> Use:
    return Use(one.in_flight + other.in_flight, min(one.idle_seconds, other.idle_seconds))


def merge_metrics(texts: Mapping[str, str]) -> bytes:
    """Texts in Prometheus's format, by worker, as one text in which each sample has a label with its worker.

    Raises ValueError for a text in another format.
    """
    registry = CollectorRegistry()
    registry.register(_Merged(texts))
    return generate_latest(registry)


class _Merged(Collector):
    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts

    @override
    def collect(self) -> Iterable[Metric]:
        families: dict[str, Metric] = {}
        for worker, text in self._texts.items():
            for family in text_string_to_metric_families(text):
                merged = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
                for sample in family.samples:
                    merged.add_sample(sample.name, sample.labels | {_LABEL: worker}, sample.value)
        return families.values()
