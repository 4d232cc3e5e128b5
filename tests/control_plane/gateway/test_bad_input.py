"""Odd input that reaches the API server, or must not."""

import asyncio
from typing import Any
from urllib.parse import quote

import pytest

from control_plane.gateway.support import Operator, Replica, refusal
from sandbox_common.kube import KubeClient
from sandbox_common.kube.resources import SANDBOXES

ODD_SESSION_IDS = [
    "Agent-Server-UPPER",
    "agent-server-0b2ad2a2-6b86-4e33-a3a4-7a2d3ba7d9b6",
    "with/slash/../and//more",
    "/leading",
    "trailing/",
    "question?mark=1&b=2",
    " space  and no-break\u00a0space ",
    "100%",
    "batch",
    "...dots..",
    "None",
    "ünïcode-日本語-🙂",
    "x" * 300,
    "日" * 1024,
    "'; drop table--",
    "{{curly}}",
    "#fragment",
]


async def test_odd_session_ids_all_work_and_never_meet(gateway: Replica, operator: Operator) -> None:
    bodies = [await gateway.start(session) for session in ODD_SESSION_IDS]
    assert [body["session_id"] for body in bodies] == ODD_SESSION_IDS
    assert len({body["runtime_id"] for body in bodies}) == len(ODD_SESSION_IDS)
    assert len(await operator.sandboxes()) == len(ODD_SESSION_IDS)
    found = await asyncio.gather(*(gateway.session(quote(session, safe="")) for session in ODD_SESSION_IDS))
    assert [body["runtime_id"] for body in found] == [body["runtime_id"] for body in bodies]


async def test_a_session_id_written_into_the_path_as_it_is_finds_its_session(gateway: Replica) -> None:
    for session in ("a/b", "a?b", "a?b=c d&e", "a//b", "a b", "ü"):
        started = await gateway.start(session)
        assert (await gateway.session(session))["runtime_id"] == started["runtime_id"]


UNKNOWN = ["sb-unknown", "../../../secrets/x", "a/status", "UPPER", "a?b", "\0", "x" * 999, "ü", "%2e%2e", "a\nb"]


@pytest.mark.parametrize("path", ["/stop", "/pause", "/resume"])
async def test_an_unknown_runtime_id_is_404(gateway: Replica, path: str) -> None:
    for runtime_id in UNKNOWN:
        # No Sandbox can have so long a name.
        expected = 422 if len(runtime_id) > 253 else 404
        refusal(await gateway.http.post(path, json={"runtime_id": runtime_id}), expected)


@pytest.mark.parametrize("path", ["/runtime", "/explain"])
async def test_an_unknown_runtime_id_in_the_path_is_404(gateway: Replica, path: str) -> None:
    await gateway.start("s")
    for runtime_id in UNKNOWN:
        refusal(await gateway.http.get(f"{path}/{quote(runtime_id, safe='')}"), 404)


async def test_a_batch_takes_any_ids(gateway: Replica) -> None:
    bodies = [await gateway.start(session) for session in ODD_SESSION_IDS]
    found = await gateway.http.get("/sessions/batch", params={"ids": [*ODD_SESSION_IDS, "", "unknown", "\0"]})
    told = [entry and entry["runtime_id"] for entry in found.json()]
    assert told == [*(body["runtime_id"] for body in bodies), None, None, None]
    # What is not UTF-8 is no session's id.
    odd = await gateway.http.get("/sessions/batch?ids=%ff%fe&ids=%ed%a0%80")
    assert (odd.status_code, odd.json()) == (200, [None, None])


async def test_a_runtime_id_is_no_path_to_other_sandboxes(
    gateway: Replica, operator: Operator, client: KubeClient, namespace: str
) -> None:
    body = {"apiVersion": "sandbox.openhands.dev/v1alpha1", "kind": "Sandbox", "metadata": {"name": "by-hand"}}
    await client.create(SANDBOXES, namespace, {**body, "spec": {"image": "i", "owner": "alice"}})
    for runtime_id in ("by-hand/", "./by-hand", "x/../by-hand", "by-hand?x", "by-hand#x", "by-hand\n"):
        refusal(await gateway.http.post("/stop", json={"runtime_id": runtime_id}), 404)
    assert len(await operator.sandboxes()) == 1


async def test_what_a_client_may_leave_out_or_add_does_not_stop_a_start(gateway: Replica) -> None:
    absent: dict[str, Any] = dict.fromkeys(("command", "working_dir", "environment", "run_as_group", "resource_factor"))
    tolerated: tuple[dict[str, Any], ...] = (
        {"from_the_future": {"a": [1]}},
        absent,
        {"command": ""},
        {"command": []},
        {"runtime_class": "any thing/at all"},
    )
    for number, fields in enumerate(tolerated):
        assert (await gateway.start(f"s{number}", **fields))["status"] == "starting"
