"""What clients read: the response object, and refusals of every kind."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import httpx
import pytest

from sandbox_crds.keys import MasterKeys
from sandbox_crds.kube import ApiError
from sandbox_crds.reasons import Reason
from sandbox_gateway.addresses import Addresses
from sandbox_gateway.errors import NoSandboxError
from sandbox_gateway.view import View
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
    ]


async def test_a_ready_sandbox(http: httpx.AsyncClient) -> None:
    expected: dict[str, Any] = {
        "runtime_id": "sb-a",
        "session_id": "s",
        "url": "http://gateway.test",
        "session_api_key": KEY,
        "status": "running",
        "pod_status": "ready",
        "restart_count": 0,
        "restart_reasons": [],
        "container_statuses": [
            {"name": "agent-server", "ready": True, "restart_count": 0, "reason": "Ready", "message": ""}
        ],
        "events": [],
        "pod_logs": "",
        "work_hosts": {},
        "image": "agent:1",
    }
    for response in await calls(http):
        assert response.status_code == 200
        assert response.json() == expected
    stopped = await http.post("/stop", json={"runtime_id": "sb-a"})
    assert stopped.json() == {"runtime_id": "sb-a", "session_id": "s", "status": "stopped"}


async def test_a_failed_one_says_why(http: httpx.AsyncClient, service: ScriptedService) -> None:
    service.view = View("error", "failed", Reason.OOM_KILLED, "exit code 137, limit 1Gi", restart_count=3)
    words = "OOMKilled: exit code 137, limit 1Gi"
    body = (await http.get("/sessions/s")).json()
    assert (body["pod_logs"], body["restart_reasons"], body["restart_count"]) == (words, [words], 3)
    assert body["events"] == [{"type": "Warning", "reason": "OOMKilled", "message": "exit code 137, limit 1Gi"}]
    [container] = body["container_statuses"]
    assert (container["ready"], container["reason"]) == (False, "OOMKilled")


async def test_a_pending_one_tells_what_goes_on_and_no_failure(
    http: httpx.AsyncClient, service: ScriptedService
) -> None:
    service.found = sandbox()
    service.view = View("starting", "pending", Reason.UNSCHEDULABLE, "0/1 nodes: Insufficient memory")
    body = (await http.get("/sessions/s")).json()
    assert (body["pod_logs"], body["container_statuses"]) == ("", [])
    assert body["events"][0]["message"] == "0/1 nodes: Insufficient memory"


async def test_a_paused_one_has_no_container(http: httpx.AsyncClient, service: ScriptedService) -> None:
    service.view = View("paused", "not found", Reason.SUSPENDED, "")
    body = (await http.get("/sessions/s")).json()
    assert (body["status"], body["pod_status"], body["container_statuses"]) == ("paused", "not found", [])
    assert body["events"][0]["type"] == "Normal"


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


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (NoSandboxError(), 404, "no such sandbox"),
        (ApiError(422, "Invalid", 'spec.image: Invalid value: ""'), 422, "spec.image"),
        (ApiError(413, "RequestEntityTooLarge", "limit is 3145728"), 422, "3145728"),
        (ApiError(403, "Forbidden", "exceeded quota: q, requested: count/sandboxes=1"), 429, "count/sandboxes"),
        (ApiError(403, "Forbidden", 'cannot create resource "sandboxes"'), 503, "permission"),
        (ApiError(401, "Unauthorized", ""), 503, "permission"),
        (ApiError(404, "NotFound", "namespace"), 503, "does not answer"),
        (ApiError(429, "TooManyRequests", ""), 503, "does not answer"),
        (ApiError(500, "InternalError", "etcd"), 503, "does not answer"),
        (aiohttp.ClientConnectionError("refused"), 503, "does not answer"),
        (aiohttp.ServerDisconnectedError(), 503, "does not answer"),
        (ConnectionResetError(), 503, "does not answer"),
        (TimeoutError(), 503, "does not answer"),
        (RuntimeError("a bug with hunter2"), 500, "Its log says why"),
    ],
)
async def test_every_error_is_json_with_words_and_no_trace(
    http: httpx.AsyncClient, service: ScriptedService, error: Exception, code: int, words: str
) -> None:
    service.error = error
    stop = await http.post("/stop", json={"runtime_id": "sb-a"})
    for response in [*await calls(http), stop]:
        assert words in refusal(response, code)
        assert "hunter2" not in response.text
        assert "Traceback" not in response.text
