"""Explanations with real Events of the cluster."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from control_plane.gateway.support import Agent, Operator, Replica, answer
from sandbox_common.kube import ApiError, KubeClient, KubeObject
from sandbox_common.kube.resources import EVENTS
from sandbox_common.reasons import Reason
from sandbox_crds.names import pod_name


async def happen(client: KubeClient, sandbox: KubeObject, kind: str, note: str, *, ago: int = 0, uid: str = "") -> None:
    """An Event as a controller writes it, about the sandbox or the object of its pod's name."""
    metadata = sandbox["metadata"]
    name = metadata["name"] if kind == "Sandbox" else pod_name(metadata["name"], metadata["uid"])
    time = datetime.now(UTC) - timedelta(seconds=ago)
    await client.create(
        EVENTS,
        metadata["namespace"],
        {
            "metadata": {"generateName": "event-"},
            "eventTime": time.isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "reportingController": "test.example/controller",
            "reportingInstance": "test",
            "type": "Warning",
            "reason": "Failed",
            "action": "Try",
            "note": note,
            "regarding": {
                "kind": kind,
                "name": name,
                "namespace": metadata["namespace"],
                "uid": uid or metadata["uid"],
            },
        },
    )


async def explained(gateway: Replica, runtime_id: str) -> dict[str, Any]:
    return answer(await gateway.http.get(f"/explain/{runtime_id}"))


def events(found: dict[str, Any]) -> list[str]:
    return [entry["text"] for entry in found["evidence"] if entry["source"] == "event"]


async def test_a_failure_with_its_condition_its_log_and_its_events(
    gateway: Replica, operator: Operator, client: KubeClient
) -> None:
    started = await gateway.start("s")
    words = "The agent server ended with exit code 1: ValueError: boom"
    sandbox = await operator.report(
        Reason.CRASH_LOOP_BACK_OFF,
        f"{words} {started['session_api_key']}. Remedy: Read the log.",
        restartCount=3,
        log=f"ValueError: boom {started['session_api_key']}",
        remedy="Read the log.",
    )
    pod = pod_name(started["runtime_id"], sandbox["metadata"]["uid"])
    await gateway.catch_up(sandbox)
    await happen(client, sandbox, "Pod", "older", ago=60, uid="pod")
    await happen(client, sandbox, "Pod", f"newer {started['session_api_key']}", uid="pod")
    await happen(client, sandbox, "PersistentVolumeClaim", "oldest", ago=120, uid="claim")
    await happen(client, sandbox, "Sandbox", "about itself", ago=30)
    await happen(client, sandbox, "Sandbox", "about an earlier one of its name", uid="another")

    found = await explained(gateway, started["runtime_id"])
    assert (found["runtime_id"], found["status"], found["pod_status"]) == (started["runtime_id"], "error", "failed")
    assert (found["reason"], found["remedy"]) == ("CrashLoopBackOff", "Read the log.")
    assert found["cause"] == "The agent server ended with exit code 1."
    assert [entry["source"] for entry in found["evidence"]] == ["condition", "log", *["event"] * 4]
    assert found["evidence"][1]["text"] == "ValueError: boom [redacted]"
    assert events(found) == [
        f"Warning Failed, Pod {pod}: newer [redacted]",
        f"Warning Failed, Sandbox {started['runtime_id']}: about itself",
        f"Warning Failed, Pod {pod}: older",
        f"Warning Failed, PersistentVolumeClaim {pod}: oldest",
    ]
    assert started["session_api_key"] not in str(found)


async def test_one_that_starts_runs_and_is_paused(gateway: Replica, operator: Operator, agent: Agent) -> None:
    runtime_id = (await gateway.start("s", command=agent.command))["runtime_id"]
    assert "operator has not looked" in (await explained(gateway, runtime_id))["cause"]
    await gateway.catch_up(await operator.report(Reason.READY))
    running = await explained(gateway, runtime_id)
    assert (running["status"], running["pod_status"], running["reason"]) == ("running", "ready", "Ready")
    assert "X-Session-API-Key" in running["remedy"]
    await gateway.post("/pause", runtime_id)
    words = "Suspended on request. The workspace is kept. Remedy: Resume it."
    await gateway.catch_up(await operator.report(Reason.SUSPENDED, words, remedy="Resume it."))
    paused = await explained(gateway, runtime_id)
    assert (paused["status"], paused["pod_status"], paused["remedy"]) == ("paused", "not found", "Resume it.")
    assert "somebody paused it (POST /pause" in paused["cause"]
    assert paused["cause"].endswith("The workspace is kept.")


async def test_a_pod_that_the_gateway_does_not_reach(gateway: Replica, operator: Operator, agent: Agent) -> None:
    agent.healthy = False
    runtime_id = (await gateway.start("s", command=agent.command))["runtime_id"]
    await gateway.catch_up(await operator.report(Reason.READY))
    found = await explained(gateway, runtime_id)
    assert (found["status"], found["pod_status"]) == ("starting", "pending")
    assert "NetworkPolicies" in found["remedy"]
    assert str(agent.port) in found["remedy"]


@pytest.mark.parametrize("error", [ApiError(403, "Forbidden", "cannot list events"), TimeoutError()])
async def test_without_the_events_it_explains_what_it_can(
    gateway: Replica, operator: Operator, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    runtime_id = (await gateway.start("s"))["runtime_id"]
    words = "0/1 nodes are available. Remedy: Add nodes."
    await gateway.catch_up(await operator.report(Reason.UNSCHEDULABLE, words, remedy="Add nodes."))

    async def refuse(*_: object, **__: object) -> KubeObject:
        raise error

    monkeypatch.setattr(KubeClient, "list", refuse)
    found = await explained(gateway, runtime_id)
    assert (found["cause"], found["remedy"]) == ("0/1 nodes are available.", "Add nodes.")
    assert "could not be read" in events(found)[0]
