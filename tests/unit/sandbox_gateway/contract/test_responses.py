"""What clients read: the response object, and refusals of every kind."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import httpx
import pytest

from sandbox_common.keys import MasterKeys
from sandbox_common.kube import ApiError
from sandbox_common.reasons import Reason
from sandbox_common.sandboxes.view import View
from sandbox_gateway.contract.addresses import Addresses
from sandbox_gateway.contract.errors import BeingDeletedError, LimitReachedError, NoSandboxError, NotAllowedError
from unit.sandbox_gateway.support import KEYS, ScriptedService, refusal, runtime_api, sandbox, status

BODY = {"image": "i", "session_id": "s"}
KEY = KEYS.session_key(KEYS.key_id("uid-1"))


@pytest.fixture
def service() -> ScriptedService:
    return ScriptedService()


@pytest.fixture
async def http(service: ScriptedService) -> AsyncIterator[httpx.AsyncClient]:
    async with runtime_api(service) as client:
        yield client


async def calls(http: httpx.AsyncClient) -> list[httpx.Response]:
    """The same sandbox by each endpoint."""
    runtime = {"runtime_id": "sb-a"}
    return [
        await http.post("/start", json=BODY),
        await http.get("/sessions/s"),
        await http.post("/pause", json=runtime),
        await http.post("/resume", json=runtime),
        await http.get("/runtime/sb-a"),
    ]


async def test_in_host_mode_work_hosts_are_told(service: ScriptedService) -> None:
    service.found = sandbox(spec={"servicePorts": {"vscode": 8001, "work-2": 3000}}, status=status(Reason.READY))
    async with runtime_api(service, Addresses("box.test")) as http:
        for answer in await calls(http):
            assert answer.json()["work_hosts"] == {
                "http://work-1-sb-a.box.test": 12000,
                "http://work-2-sb-a.box.test": 3000,
            }


async def test_a_ready_sandbox(http: httpx.AsyncClient) -> None:
    expected: dict[str, Any] = {
        "runtime_id": "sb-a",
        "session_id": "s",
        "url": "http://gateway.test",
        "session_api_key": KEY,
        "status": "running",
        "pod_status": "ready",
        "status_detail": None,
        "restart_count": 0,
        "restart_reasons": [],
        "container_statuses": [
            {"name": "agent-server", "ready": True, "restart_count": 0, "reason": "Ready", "message": ""}
        ],
        "events": [],
        "pod_logs": "",
        "work_hosts": {},
        "image": "agent:1",
        "owner": "alice",
        "sandbox_class": "default",
        "reason": "Ready",
        "since": "2026-01-02T03:04:05Z",
        "launch": "",
        "pool": "",
        "created_at": "2026-01-02T03:04:00Z",
    }
    for response in await calls(http):
        assert response.status_code == 200
        assert response.json() == expected
    assert (await http.get("/list")).json() == {"runtimes": [expected], "total": 1}
    assert (await http.get("/sessions/batch?ids=s&ids=s")).json() == [expected, expected]
    stopped = await http.post("/stop", json={"runtime_id": "sb-a"})
    assert stopped.json() == {"runtime_id": "sb-a", "session_id": "s", "status": "stopped"}


async def test_a_session_that_a_batch_repeats_is_looked_at_once(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    derived: list[str] = []
    derive = MasterKeys.session_key

    def counted(keys: MasterKeys, key_id: str) -> str:
        derived.append(key_id)
        return derive(keys, key_id)

    monkeypatch.setattr(MasterKeys, "session_key", counted)
    answer = (await http.get("/sessions/batch?" + "ids=s&" * 1000)).json()
    assert [entry["session_api_key"] for entry in answer] == [KEY] * 1000
    assert len(derived) == 1


async def test_a_failed_one_says_why(http: httpx.AsyncClient, service: ScriptedService) -> None:
    service.view = View("error", "failed", Reason.OOM_KILLED, "exit code 137, limit 1Gi", restart_count=3)
    service.found = sandbox(status=status(Reason.OOM_KILLED, restartReason="OOMKilled, exit code 137"))
    words = "OOMKilled: exit code 137, limit 1Gi"
    body = (await http.get("/sessions/s")).json()
    assert (body["pod_logs"], body["status_detail"], body["restart_count"]) == (words, words, 3)
    assert body["restart_reasons"] == ["OOMKilled, exit code 137"]
    assert body["events"] == [{"type": "Warning", "reason": "OOMKilled", "message": "exit code 137, limit 1Gi"}]
    [container] = body["container_statuses"]
    assert (container["ready"], container["reason"]) == (False, "OOMKilled")


async def test_one_that_is_ready_again_says_why_it_was_restarted(
    http: httpx.AsyncClient, service: ScriptedService
) -> None:
    service.found = sandbox(status=status(Reason.READY, restartReason="OOMKilled, exit code 137"))
    service.view = View("running", "ready", Reason.READY, "", restart_count=1)
    body = (await http.get("/sessions/s")).json()
    assert (body["restart_count"], body["restart_reasons"]) == (1, ["OOMKilled, exit code 137"])
    assert (body["pod_logs"], body["events"]) == ("", [])


async def test_one_that_has_lost_pods_says_so_for_as_long_as_it_lives(
    http: httpx.AsyncClient, service: ScriptedService
) -> None:
    loss = {"time": "2026-01-02T03:00:00Z", "reason": "HomeFull", "workspace": "Lost", "podUID": "old"}
    service.found = sandbox(status=status(Reason.READY, restartReason="exit code 1", lostPods=2, lastLoss=loss))
    service.view = View("running", "ready", Reason.READY, "", restart_count=1)
    body = (await http.get("/sessions/s")).json()
    assert body["restart_count"] == 3
    assert body["container_statuses"][0]["restart_count"] == 1
    [event] = body["events"]
    assert body["restart_reasons"] == ["exit code 1", event["message"]]
    assert (event["type"], event["reason"]) == ("Warning", "PodLost")
    assert event["message"].startswith("At 2026-01-02T03:00:00Z (2 pods lost so far): The home directory was fuller")
    assert "The content of /workspace is lost. Remedy: " in event["message"]


async def test_one_that_will_be_deleted_says_so_while_it_runs(
    http: httpx.AsyncClient, service: ScriptedService
) -> None:
    conditions = [
        *status(Reason.READY)["conditions"],
        {**status("MaximumLife", "Deleted at 12:00.")["conditions"][0], "type": "Expiring", "status": "True"},
    ]
    service.found = sandbox(status=status(Reason.READY, conditions=conditions))
    body = (await http.get("/sessions/s")).json()
    assert body["events"] == [{"type": "Warning", "reason": "MaximumLife", "message": "Deleted at 12:00."}]


@pytest.mark.parametrize("reason", [Reason.PENDING, Reason.STARTING])
async def test_a_start_as_usual_has_no_warning(
    http: httpx.AsyncClient, service: ScriptedService, reason: Reason
) -> None:
    service.view = View("starting", "pending", reason, "why")
    body = (await http.get("/sessions/s")).json()
    assert (body["pod_logs"], body["events"][0]["type"]) == ("", "Normal")


async def test_a_start_names_the_fields_that_it_did_not_apply(
    http: httpx.AsyncClient, service: ScriptedService
) -> None:
    service.ignored = ("image", "environment")
    body = {"image": "other", "session_id": "s", "environment": {"TOKEN": "secret-value"}}
    answer = await http.post("/start", json=body)
    [event] = answer.json()["events"]
    assert (event["type"], event["reason"]) == ("Warning", "StartFieldsIgnored")
    assert event["message"].startswith("Not applied: image, environment. ")
    assert "secret-value" not in answer.text


async def test_a_pending_one_tells_what_is_wrong(http: httpx.AsyncClient, service: ScriptedService) -> None:
    service.found = sandbox()
    service.view = View("starting", "pending", Reason.UNSCHEDULABLE, "0/1 nodes: Insufficient memory")
    body = (await http.get("/sessions/s")).json()
    assert body["pod_logs"] == body["status_detail"] == "Unschedulable: 0/1 nodes: Insufficient memory"
    assert body["container_statuses"] == []
    assert body["events"] == [
        {"type": "Warning", "reason": "Unschedulable", "message": "0/1 nodes: Insufficient memory"}
    ]


async def test_a_paused_one_has_no_container(http: httpx.AsyncClient, service: ScriptedService) -> None:
    service.view = View("paused", "not found", Reason.SUSPENDED, "The workspace is kept.")
    body = (await http.get("/sessions/s")).json()
    assert (body["status"], body["pod_status"], body["container_statuses"]) == ("paused", "not found", [])
    assert body["events"] == [{"type": "Normal", "reason": "Suspended", "message": "The workspace is kept."}]
    assert body["pod_logs"] == ""


async def test_one_whose_start_took_too_long_warns(http: httpx.AsyncClient, service: ScriptedService) -> None:
    service.view = View("paused", "not found", Reason.START_TIMEOUT, "Not ready within 300 s.")
    body = (await http.get("/sessions/s")).json()
    assert (body["status"], body["events"][0]["type"]) == ("paused", "Warning")
    assert body["pod_logs"] == "StartTimeout: Not ready within 300 s."


async def test_what_does_not_depend_on_a_sandbox(http: httpx.AsyncClient) -> None:
    assert (await http.get("/registry_prefix")).json() == {"registry_prefix": "registry.test/images"}
    ids = dict.fromkeys(("run_as_user", "run_as_group", "fs_group"), 10001)
    runs: dict[str, Any] = {"image": "agent:1", "command": [], "environment": {}, "working_dir": ""}
    pool = {"name": "a-pool", "ready": 0, **runs, **ids}
    assert (await http.get("/api/warm-runtime-configs")).json() == {"configs": [pool]}
    image = (await http.get("/image_exists?image=ghcr.io/a/b:1")).json()
    assert (image["exists"], image["known"]) == (True, False)
    assert "image_registries" in image["detail"]
    assert image["image"] == {"upload_time": "", "image_size_bytes": 0}


async def test_the_forwarded_origin_makes_the_url(http: httpx.AsyncClient) -> None:
    headers = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "front.test:8443"}
    assert (await http.get("/sessions/s", headers=headers)).json()["url"] == "https://front.test:8443"


async def test_host_mode_puts_the_sandbox_into_the_host(service: ScriptedService) -> None:
    async with runtime_api(service, Addresses("box.test")) as http:
        headers = {"X-Forwarded-Host": "front.test:30080"}
        assert (await http.get("/sessions/s", headers=headers)).json()["url"] == "http://sb-a.box.test:30080"


async def test_the_reported_key_id_makes_the_key_and_a_lost_master_key_is_named(service: ScriptedService) -> None:
    rotated = MasterKeys.of({2: b"n" * 32})
    async with runtime_api(service, keys=rotated) as http:
        service.found = sandbox(status=status(Reason.READY, keyID=rotated.key_id("other")))
        body = (await http.get("/sessions/s")).json()
        assert body["session_api_key"] == rotated.session_key(rotated.key_id("other"))
        service.found = sandbox(status=status(Reason.READY, keyID=KEYS.key_id("uid-1")))
        assert "Version v1 of the master key" in refusal(await http.get("/sessions/s"), 503)
        # One such sandbox hides no others.
        assert (await http.get("/list")).json() == {"runtimes": [], "total": 0}
        assert (await http.get("/sessions/batch?ids=s")).json() == [None]


async def test_a_key_is_told_once_no_warm_pod_can_bring_another(
    service: ScriptedService, http: httpx.AsyncClient
) -> None:
    service.found = sandbox()
    assert (await http.get("/list")).json()["runtimes"][0]["session_api_key"] == ""
    service.found = sandbox(spec={"warmStart": "Never"})
    assert (await http.get("/list")).json()["runtimes"][0]["session_api_key"] == KEY
    service.found = sandbox(status={"keyID": KEYS.key_id("a-warm-pod")})
    assert (await http.get("/list")).json()["runtimes"][0]["session_api_key"] == KEYS.session_key(
        KEYS.key_id("a-warm-pod")
    )


@pytest.mark.parametrize(
    ("error", "code", "words", "again"),
    [
        (NoSandboxError(), 404, "no such sandbox", None),
        (ApiError(422, "Invalid", 'spec.image: Invalid value: ""'), 422, "spec.image", None),
        (ApiError(413, "RequestEntityTooLarge", "limit is 3145728"), 422, "3145728", None),
        (ApiError(403, "Forbidden", "exceeded quota: q, requested: count/sandboxes=1"), 429, "count/sandboxes", "30"),
        (ApiError(403, "Forbidden", 's is forbidden: User "u" cannot create resource "s"'), 503, "permission", None),
        (
            ApiError(403, "Forbidden", "admission webhook denied the request: not on Fridays"),
            422,
            "not on Fridays",
            None,
        ),
        (ApiError(401, "Unauthorized", ""), 503, "permission", None),
        (ApiError(404, "NotFound", "namespace"), 503, "unreachable. Retry in 5 s.", "5"),
        (ApiError(429, "TooManyRequests", ""), 503, "unreachable. Retry in 5 s.", "5"),
        (ApiError(500, "InternalError", "etcd"), 503, "unreachable. Retry in 5 s.", "5"),
        (ApiError(429, "TooManyRequests", "", 7.0), 503, "unreachable. Retry in 7 s.", "7"),
        (LimitReachedError("No room: running=1."), 429, "running=1", "30"),
        (BeingDeletedError(), 503, "being deleted", "5"),
        (NotAllowedError("No."), 403, "No.", None),
        (aiohttp.ClientConnectionError("refused"), 503, "unreachable. Retry in 5 s.", "5"),
        (aiohttp.ServerDisconnectedError(), 503, "unreachable. Retry in 5 s.", "5"),
        (ConnectionResetError(), 503, "unreachable. Retry in 5 s.", "5"),
        (TimeoutError(), 503, "unreachable. Retry in 5 s.", "5"),
        (RuntimeError("a bug with hunter2"), 500, "Its log says why", None),
    ],
)
async def test_every_error_is_json_with_words_and_no_trace(
    http: httpx.AsyncClient, service: ScriptedService, error: Exception, code: int, words: str, again: str | None
) -> None:
    service.error = error
    others = [
        await http.post("/stop", json={"runtime_id": "sb-a"}),
        await http.get("/list"),
        await http.get("/sessions/batch?ids=s"),
        await http.get("/explain/sb-a"),
    ]
    for response in [*await calls(http), *others]:
        assert words in refusal(response, code)
        assert response.headers.get("retry-after") == again
        assert "hunter2" not in response.text
        assert "Traceback" not in response.text
