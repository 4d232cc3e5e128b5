"""A real Prometheus scrapes operator and gateway after some use: the dashboard's queries and the chart's rules work."""

import json
import subprocess
from math import isnan
from pathlib import Path
from typing import Any

import httpx
import yaml

from control_plane.gateway.support import API_KEY, add_api_key, answer
from control_plane.monitoring.conftest import POOL, Installation
from control_plane.waiting import eventually
from local_cluster.paths import ROOT
from prometheus import Server, program, serving
from sandbox_common.kube import KubeClient
from sandbox_common.reasons import PoolReason

FILES = ROOT / "helm" / "openhands-sandbox" / "files"
WITHOUT_DATA = {"Objects that cannot be read"}
"""Panels about what does not happen here."""


def targets(installation: Installation) -> dict[str, dict[str, str]]:
    """Addresses of both processes, with the labels that a PodMonitor gives."""
    ports = {"operator": installation.operator.health_port, "gateway": installation.gateway.health_port}
    namespace = {"namespace": installation.basin.namespace}
    return {f"127.0.0.1:{port}": namespace | {"pod": pod} for pod, port in ports.items()}


def rules(namespace: str) -> dict[str, Any]:
    """Those of the chart, evaluated every second."""
    groups = yaml.safe_load((FILES / "rules.yaml").read_text().replace("RELEASE_NAMESPACE", namespace))["groups"]
    return {"groups": [group | {"interval": "1s"} for group in groups]}


async def use(installation: Installation, number: int) -> None:
    """Some of everything: a warm and a cold start, requests, a pause with a refused request, and a resume."""
    await installation.basin.told(PoolReason.FILLED, POOL)
    url, headers = installation.gateway.url, {"X-API-Key": API_KEY}
    async with httpx.AsyncClient(base_url=url, headers=headers, trust_env=False, timeout=30) as http:

        async def running(session_id: str) -> dict[str, Any] | None:
            found = answer(await http.get(f"/sessions/{session_id}"))
            return found if found["status"] == "running" else None

        async def start(session_id: str, environment: dict[str, str]) -> dict[str, Any]:
            body = {"image": "agent:1", "command": installation.node.command, "working_dir": "/"}
            answer(await http.post("/start", json={**body, "session_id": session_id, "environment": environment}))
            started = await eventually(lambda: running(session_id))
            # One request in 16 is timed.
            for _ in range(40):
                await visit(started)
            return started

        async def visit(started: dict[str, Any]) -> int:
            return (await http.get("/api/key", headers={"X-Session-API-Key": started["session_api_key"]})).status_code

        await start(f"warm-{number}", {})
        started = await start(f"cold-{number}", {"DIFFERENT": "1"})
        answer(await http.post("/pause", json={"runtime_id": started["runtime_id"]}))
        assert await visit(started) == 503
        answer(await http.post("/resume", json={"runtime_id": started["runtime_id"]}))
        await eventually(lambda: running(f"cold-{number}"))


async def scraped(prometheus: Server) -> None:
    """Return once both have been scraped twice more. Prometheus takes seconds to find its targets."""

    async def count() -> float:
        counts = await prometheus.query("sum_over_time(up[5m])")
        return min(counts) if len(counts) == 2 else 0

    wanted = await count() + 2

    async def reached() -> bool:
        return await count() >= wanted

    await eventually(reached)


def lint(text: str) -> None:
    """Prometheus' own rules for names, types and help texts."""
    done = subprocess.run([program("promtool"), "check", "metrics"], input=text, capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


async def test_prometheus_takes_the_metrics_and_every_panel_and_rule_works(
    installation: Installation, client: KubeClient, tmp_path: Path
) -> None:
    namespace = installation.basin.namespace
    await add_api_key(client, namespace, API_KEY, "alice")
    async with serving(tmp_path, targets(installation), rules(namespace)) as prometheus:
        # A rate needs a scrape before and after what it counts.
        for number in range(2):
            await use(installation, number)
            await scraped(prometheus)

        panels = json.loads((FILES / "dashboard.json").read_text())["panels"]
        without_data = set[str]()
        for panel in panels:
            for target in panel.get("targets", []):
                expression = target["expr"].replace("$namespace", namespace).replace("$__rate_interval", "5m")
                values = await prometheus.query(expression)
                if not values or all(map(isnan, values)):
                    without_data.add(panel["title"])
        assert without_data == WITHOUT_DATA

        found = await prometheus.rules()
        assert {rule["name"]: rule.get("lastError") for rule in found if rule["health"] != "ok"} == {}
        assert [rule["name"] for rule in found if rule.get("state") == "firing"] == []

    async with httpx.AsyncClient(trust_env=False) as http:
        for target in targets(installation):
            lint((await http.get(f"http://{target}/metrics")).text)
