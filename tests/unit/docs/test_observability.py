"""docs/observability.md has each metric with its labels as /metrics gives it, and no page has a name that is none.

Names follow Prometheus' rules (prometheus.io/docs/practices/naming, and what `promtool check metrics` refuses).
"""

import importlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from prometheus_client.registry import Collector

from local_cluster.paths import ROOT

PREFIX = "openhands_sandbox_"
PAGES = [page for folder in ("docs", "helm") for page in (ROOT / folder).rglob("*.md")] + [ROOT / "README.md"]
TABLE = re.compile(r"^\| Of an? \w+, after `(openhands_sandbox_\w*)` .*\n((?:\|.*\n)+)", re.MULTILINE)
NAME = re.compile(r"`(\w+)(?:\{([\w,]+)\})?`")
WHOLE_NAME = re.compile(r"`(openhands_sandbox_\w*[a-z])(?:\{[\w,]+\})?`")
EXPORTERS = (
    *("sandbox_common.kube", "sandbox_gateway.gateway"),
    *("sandbox_operator.process.metrics", "sandbox_operator.pools.metrics", "sandbox_operator.watching.workers"),
)
UNITS = re.compile(r"(?:seconds|bytes)")
OTHER_UNITS = re.compile(
    r"_(?:(?:nano|micro|milli)seconds?|ms|us|ns|sec|minutes?|min|hours?|days?|(?:kilo|mega|giga|ki|me|gi)bytes?|[kmg]i?b"
    r"|bits?|percent|pct|ratio_percent)(?:_|$)"
)
TYPES = re.compile(r"_(?:counter|gauge|histogram|summary)(?:_|$)")
OF_SERIES = re.compile(r"_(?:count|sum|bucket|info|created)$")
GROWING = {"sandbox", "session", "session_id", "owner", "name", "uid", "pod", "runtime_id", "image", "user", "key_id"}
"""Labels whose values grow with sessions or owners, or that clients choose."""


@dataclass(frozen=True)
class Exported:
    type: str
    help: str
    labels: tuple[str, ...]


def labels_of(source: object) -> tuple[str, ...]:
    """The library shows labels only on samples, and a metric with labels may have none yet."""
    return tuple(getattr(source, "_labelnames", ()))


def exported_by(collector: Collector) -> Iterable[tuple[str, Exported]]:
    for metric in collector.collect():
        if metric.name.startswith(PREFIX):
            name = f"{metric.name}_total" if metric.type == "counter" else metric.name
            labels = labels_of(metric) or labels_of(collector)
            yield name, Exported(metric.type, metric.documentation, labels)


def exported_metrics() -> dict[str, Exported]:
    """All metrics of both processes, by name."""
    for module in EXPORTERS:
        importlib.import_module(module)
    collectors: set[Collector] = set(REGISTRY._names_to_collectors.values())  # pyright: ignore[reportPrivateUsage]
    return dict(pair for collector in collectors for pair in exported_by(collector))


@pytest.fixture(scope="module")
def exported() -> dict[str, Exported]:
    return exported_metrics()


def test_the_page_has_each_metric_with_its_labels_and_no_other(exported: dict[str, Exported]) -> None:
    tables: list[tuple[str, str]] = TABLE.findall((ROOT / "docs" / "observability.md").read_text())
    first_cells = [(prefix, row.split("|")[1]) for prefix, rows in tables for row in rows.splitlines()]
    documented = {
        prefix + name: tuple(str(labels).split(",")) if labels else ()
        for prefix, cell in first_cells
        for name, labels in NAME.findall(cell)
    }
    assert documented == {name: metric.labels for name, metric in exported.items()}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_a_name_in_any_page_is_exported(page: Path, exported: dict[str, Exported]) -> None:
    assert set(WHOLE_NAME.findall(page.read_text())) <= exported.keys()


def offences(name: str, metric: Exported) -> list[str]:
    words = name.removeprefix(PREFIX).removesuffix("_total")
    rules = {
        "only small letters": re.fullmatch(r"[a-z_]+", name),
        "only counters end in _total": name.endswith("_total") == (metric.type == "counter"),
        "the unit comes last": not (unit := UNITS.search(words)) or words.endswith(unit[0]),
        "base units": not OTHER_UNITS.search(name),
        "times and sizes say their unit": metric.type != "histogram" or UNITS.search(words),
        "no type in the name": not TYPES.search(name),
        "no suffix of series": not OF_SERIES.search(words),
        "a help text": metric.help.strip().endswith("."),
        "labels of small letters": all(re.fullmatch(r"[a-z_]+", label) for label in metric.labels),
        "no reserved label": not {"le", "quantile", "worker"} & set(metric.labels),
        "no label that grows": not GROWING & set(metric.labels),
        "no label in the name": "_by_" not in name,
    }
    return [f"{name}: {rule}" for rule, kept in rules.items() if not kept]


def test_names_and_labels_follow_the_rules(exported: dict[str, Exported]) -> None:
    assert [offence for name, metric in exported.items() for offence in offences(name, metric)] == []


@pytest.mark.parametrize(
    ("name", "type_", "labels", "rule"),
    [
        ("start_milliseconds", "histogram", (), "base units"),
        ("start_seconds_total", "histogram", (), "only counters end in _total"),
        ("starts", "counter", (), "only counters end in _total"),
        ("seconds_held", "gauge", (), "the unit comes last"),
        ("starts", "histogram", (), "times and sizes say their unit"),
        ("starts_total", "counter", ("owner",), "no label that grows"),
        ("starts_by_result_total", "counter", ("result",), "no label in the name"),
        ("leader_gauge", "gauge", (), "no type in the name"),
        ("held_count", "gauge", (), "no suffix of series"),
    ],
)
def test_the_rules_find_what_breaks_them(name: str, type_: str, labels: tuple[str, ...], rule: str) -> None:
    assert f"{PREFIX}{name}: {rule}" in offences(PREFIX + name, Exported(type_, "Help.", labels))
