"""What the chart makes for Prometheus and Grafana, and that all of it reaches both processes."""

import json
from typing import Any

import pytest
import yaml

from unit.helm.rendering import CHART, NAMESPACE, Helm, Manifest, find, pod_templates

SCRAPED = {"operator", "gateway"}
ANNOTATIONS = {"prometheus.io/scrape": "true", "prometheus.io/port": "8081", "prometheus.io/path": "/metrics"}
KINDS = {"PodMonitor", "ServiceMonitor", "PrometheusRule"}


def selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    [expression] = selector["matchExpressions"]
    assert expression["operator"] == "In"
    return selector["matchLabels"].items() <= labels.items() and labels.get(expression["key"]) in expression["values"]


def test_nothing_needs_the_prometheus_operator_by_default(defaults: list[Manifest]) -> None:
    assert KINDS.isdisjoint(item["kind"] for item in defaults)
    annotated = {name for name, pod in pod_templates(defaults).items() if "annotations" in pod["metadata"]}
    assert annotated.isdisjoint(SCRAPED)


def test_annotations_lead_prometheus_to_both_processes(helm: Helm) -> None:
    values = {"monitoring": {"scrapeAnnotations": True}, "gateway": {"podAnnotations": {"a": "b"}}}
    pods = pod_templates(helm.render(values))
    assert pods["operator"]["metadata"]["annotations"] == ANNOTATIONS
    assert pods["gateway"]["metadata"]["annotations"] == {**ANNOTATIONS, "a": "b"}
    assert ANNOTATIONS.keys().isdisjoint(pods["test"]["metadata"]["annotations"])
    for name in SCRAPED:
        [port] = [port for port in pods[name]["spec"]["containers"][0]["ports"] if port["name"] == "health"]
        assert str(port["containerPort"]) == ANNOTATIONS["prometheus.io/port"]


def test_a_pod_monitor_selects_the_pods_of_both_processes(helm: Helm) -> None:
    rendered = helm.render({"monitoring": {"podMonitor": {"enabled": True, "labels": {"release": "stack"}}}})
    monitor = find(rendered, "PodMonitor")
    assert monitor["metadata"]["labels"]["release"] == "stack"
    selector = monitor["spec"]["selector"]
    pods = pod_templates(rendered)
    assert {name for name, pod in pods.items() if selects(selector, pod["metadata"]["labels"])} == SCRAPED
    assert monitor["spec"]["podMetricsEndpoints"] == [{"port": "health", "interval": "30s", "scrapeTimeout": "10s"}]


def test_a_service_monitor_finds_each_process_by_one_service(helm: Helm) -> None:
    rendered = helm.render({"monitoring": {"serviceMonitor": {"enabled": True}}})
    spec = find(rendered, "ServiceMonitor")["spec"]
    [endpoint] = spec["endpoints"]
    services = [item for item in rendered if item["kind"] == "Service"]
    found = [
        item["spec"]["selector"]["app.kubernetes.io/component"]
        for item in services
        if selects(spec["selector"], item["metadata"]["labels"])
        for port in item["spec"]["ports"]
        if port["name"] == endpoint["port"]
    ]
    assert sorted(found) == sorted(SCRAPED)


def test_without_a_page_of_runbooks_alerts_do_not_link_to_one(helm: Helm) -> None:
    spec = find(helm.render({"monitoring": {"prometheusRule": {"enabled": True}}}), "PrometheusRule")["spec"]
    annotations = [rule["annotations"] for group in spec["groups"] for rule in group["rules"] if "alert" in rule]
    assert annotations
    assert {frozenset(found) for found in annotations} == {frozenset({"summary", "description"})}


def test_the_rules_are_those_of_the_file_for_this_namespace(helm: Helm) -> None:
    values = {"monitoring": {"prometheusRule": {"enabled": True, "runbooksURL": "https://docs.example.com/runbooks"}}}
    spec = find(helm.render(values), "PrometheusRule")["spec"]
    text = (CHART / "files" / "rules.yaml").read_text()
    expected = text.replace("RELEASE_NAMESPACE", NAMESPACE).replace("RUNBOOKS", "https://docs.example.com/runbooks")
    assert spec == yaml.safe_load(expected)


@pytest.mark.parametrize(("labels", "found"), [({}, {"grafana_dashboard": "1"}), ({"a": "b"}, {"a": "b"})])
def test_the_dashboard_is_found_by_its_label(helm: Helm, labels: dict[str, str], found: dict[str, str]) -> None:
    rendered = helm.render({"monitoring": {"grafanaDashboard": {"enabled": True, "labels": labels}}})
    config = find(rendered, "ConfigMap", "dashboard")
    ours = find(rendered, "Service", "gateway")["metadata"]["labels"].keys()
    assert {key: value for key, value in config["metadata"]["labels"].items() if key not in ours} == found
    [(name, text)] = config["data"].items()
    assert name == "openhands-sandbox.json"
    assert json.loads(text) == json.loads((CHART / "files" / "dashboard.json").read_text())
