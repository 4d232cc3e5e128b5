"""The alerts: each failure raises its own within two minutes, and a healthy hour raises none."""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from local_cluster.paths import ROOT
from prometheus import program
from unit.docs.test_observability import exported_metrics
from unit.helm.rendering import Helm, find
from unit.helm.simulated_metrics import SCRAPE_SECONDS, Installation, Rates, after_an_hour

PREFIX = "OpenHandsSandbox"
RUNBOOKS = "https://docs.example.com/runbooks.html"

type Series = dict[str, str]
"""One series in promtool's form."""
type Expected = dict[str, Any]
"""An expression at a time and what it gives, in promtool's form."""


def no_leader(installation: Installation) -> None:
    installation.leader.set("openhands_sandbox_operator_leader", 0)


def operators_gone(installation: Installation) -> None:
    installation.leader.end()
    installation.standby.end()


def gateways_gone(installation: Installation) -> None:
    for gateway in installation.gateways:
        gateway.end()


def gateways_unready(installation: Installation) -> None:
    for gateway in installation.gateways:
        gateway.set("openhands_sandbox_gateway_ready", 0)


def operator_fails(installation: Installation) -> None:
    installation.leader.add("openhands_sandbox_operator_errors_total", 5, kind="sandbox")


def idle_blocked(installation: Installation) -> None:
    installation.leader.set("openhands_sandbox_operator_idle_blocked", 1)


def usage_fails(installation: Installation) -> None:
    installation.leader.set("openhands_sandbox_operator_usage_failing_owners", 1)


def rates(**changes: Any) -> Callable[[Installation], None]:
    def fail(installation: Installation) -> None:
        installation.rates = Rates(**changes)

    return fail


def pool(**pods: int) -> Callable[[Installation], None]:
    def fail(installation: Installation) -> None:
        installation.pool |= pods

    return fail


def pool_refused(installation: Installation) -> None:
    installation.pool |= {"ready": 1, "starting": 0}
    installation.leader.add("openhands_sandbox_pool_refill_failures_total", pool="agents", reason="QuotaExceeded")


def unreadable(installation: Installation) -> None:
    installation.leader.add("openhands_sandbox_unreadable_objects_total", resource="sandboxes")


FAILURES: dict[str, tuple[Callable[[Installation], None], str]] = {
    "no operator leads": (no_leader, "NoLeader"),
    "all operators are gone": (operators_gone, "NoLeader"),
    "all gateways are gone": (gateways_gone, "GatewayDown"),
    "no gateway is ready": (gateways_unready, "GatewayDown"),
    "all starts fail": (rates(failed=1), "StartsFail"),
    "starts take a minute": (rates(cold_seconds=60), "StartsSlow"),
    "a pool stays empty": (pool(ready=0, starting=3), "PoolEmpty"),
    "pods of a pool fail": (pool(ready=1, failing=2), "PoolRefillFails"),
    "pods of a pool are refused": (pool_refused, "PoolRefillFails"),
    "the API server throttles": (rates(api_codes={"200": 0.7, "429": 0.3}), "APIRequestsFail"),
    "the API server fails": (rates(gateway_api_codes={"503": 1}), "APIRequestsFail"),
    "the queue grows": (rates(queue=500), "QueueNotDrained"),
    "the operator lacks a right": (operator_fails, "OperatorErrors"),
    "connections are refused": (rates(refused=2), "ConnectionsRefused"),
    "a gateway does not answer the operator": (idle_blocked, "IdleNotSuspended"),
    "usage is not recorded": (usage_fails, "UsageNotRecorded"),
    "the Runtime API fails": (rates(control_codes={"2xx": 0.7, "5xx": 0.3}), "GatewayErrors"),
    "the access log loses lines": (rates(dropped=10), "LogLinesLost"),
    "the audit log loses lines": (rates(lost=1), "AuditLinesLost"),
    "the audit log is late": (rates(late=1), "AuditLinesLost"),
    "an object is malformed": (unreadable, "ObjectsUnreadable"),
}


def alerts(rules: dict[str, Any]) -> list[dict[str, Any]]:
    [group] = rules["groups"]
    return [rule for rule in group["rules"] if "alert" in rule]


def firing(at: str, *names: str, since: str = "") -> Expected:
    """Promtool's test that exactly these alerts fire at a time, or have fired within a time before it."""
    selector = 'ALERTS{alertstate="firing"}'
    fired = f"count_over_time({selector}[{since}])" if since else selector
    samples = [{"labels": f'{{alertname="{PREFIX}{name}"}}', "value": 1} for name in names]
    return {"expr": f"group by (alertname) ({fired})", "eval_time": at, "exp_samples": samples}


@pytest.fixture(scope="session")
def promtool() -> Path:
    return program("promtool")


@pytest.fixture(scope="session")
def rules(helm: Helm) -> dict[str, Any]:
    """The spec of the PrometheusRule."""
    values = {"monitoring": {"prometheusRule": {"enabled": True, "runbooksURL": RUNBOOKS}}}
    return find(helm.render(values), "PrometheusRule")["spec"]


@pytest.fixture(scope="module")
def rules_file(rules: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("rules") / "rules.yaml"
    file.write_text(yaml.safe_dump(rules))
    return file


def run(promtool: Path, *arguments: str | Path) -> str:
    done = subprocess.run([promtool, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def check(promtool: Path, rules_file: Path, directory: Path, *tests: tuple[list[Series], list[Expected]]) -> None:
    """Evaluate the rules over series, and compare what they give."""
    file = directory / "test.yaml"
    interval = f"{SCRAPE_SECONDS}s"
    cases = [{"interval": interval, "input_series": series, "promql_expr_test": expected} for series, expected in tests]
    file.write_text(json.dumps({"rule_files": [str(rules_file)], "evaluation_interval": "30s", "tests": cases}))
    run(promtool, "test", "rules", file)


def test_promtool_takes_them(promtool: Path, rules_file: Path) -> None:
    run(promtool, "check", "rules", "--lint=all", "--lint-fatal", rules_file)


@pytest.mark.parametrize("case", FAILURES)
def test_a_failure_raises_its_alert_and_no_other_within_two_minutes(
    promtool: Path, rules_file: Path, tmp_path: Path, case: str
) -> None:
    fail, name = FAILURES[case]
    # Here Prometheus evaluates at the moment of a scrape. Elsewhere it may do so almost 30 s later.
    series = after_an_hour(fail)
    check(promtool, rules_file, tmp_path, (series, [firing("60m", since="60m"), firing("61m30s", name)]))


def test_healthy_hours_raise_no_alert(promtool: Path, rules_file: Path, tmp_path: Path) -> None:
    hours = [after_an_hour(lambda _: None, seed) for seed in range(2, 6)]
    check(promtool, rules_file, tmp_path, *((series, [firing("62m", since="62m")]) for series in hours))


def test_every_alert_has_a_failure_that_raises_it(rules: dict[str, Any]) -> None:
    assert {rule["alert"] for rule in alerts(rules)} == {f"{PREFIX}{name}" for _, name in FAILURES.values()}


def test_every_alert_has_its_page_and_every_page_an_alert(rules: dict[str, Any]) -> None:
    text = (ROOT / "docs" / "runbooks.md").read_text()
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL))
    assert list(sections) == [rule["alert"] for rule in alerts(rules)]
    for rule in alerts(rules):
        assert rule["annotations"]["runbook_url"] == f"{RUNBOOKS}#{rule['alert'].lower()}"
        assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
        assert rule["labels"]["severity"] in {"critical", "warning"}
        for part in ("**Meaning.**", "**See it.**", "**What to do.**"):
            assert sections[rule["alert"]].count(part) == 1, (rule["alert"], part)


def test_the_table_of_failures_names_each_alert_and_no_other(rules: dict[str, Any]) -> None:
    text = (ROOT / "docs" / "runbooks.md").read_text()
    rows = re.findall(r"^\| .* \| (.*) \|$", text.partition("## Failures and their alerts")[2], re.MULTILINE)
    named = {f"{PREFIX}{name}" for row in rows for name in re.findall(r"\b(?:[A-Z]+[a-z]+){2,}\b", row)}
    assert named == {rule["alert"] for rule in alerts(rules)}


def test_they_ask_only_for_what_is_exported(rules: dict[str, Any]) -> None:
    asked = set(re.findall(r"(?<![\w:])openhands_sandbox_\w+", json.dumps(rules)))
    assert {re.sub(r"_(bucket|count|sum)$", "", name) for name in asked} <= set(exported_metrics())
