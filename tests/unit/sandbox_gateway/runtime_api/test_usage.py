"""GET /usage: an owner's own usage, as recorded and as it goes on."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, cast
from urllib.parse import quote

import httpx
import pytest

from sandbox_common.kube import ApiError, KubeClient, Resource
from sandbox_crds.names import usage_name
from sandbox_gateway.sandboxes.classes import SandboxClasses
from sandbox_gateway.sandboxes.usage import Usage
from unit.sandbox_gateway.support import (
    ScriptedService,
    refusal,
    runtime_api,
    sandbox_object,
    status,
    unconnected_cache,
)

CLASS: dict[str, Any] = {
    "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}},
    "workspace": {"persistent": True, "size": "1Gi"},
}
NOW = datetime(2026, 1, 3, 0, 1, 0, tzinfo=UTC)


class Records:
    """Stands in for KubeClient: the records by name."""

    def __init__(self) -> None:
        self.records: dict[str, dict[str, Any]] = {}
        self.error: Exception | None = None
        self.reads: list[str] = []

    def put(self, owner: str, through: str, **days: dict[str, Any]) -> None:
        dated = {day.strip("_").replace("_", "-"): rows for day, rows in days.items()}
        name = usage_name(owner)
        self.records[name] = {
            "metadata": {"name": name},
            "spec": {"owner": owner},
            "status": {"through": through, "days": dated},
        }

    async def find(self, resource: Resource, namespace: str, name: str) -> dict[str, Any] | None:
        """Like KubeClient.find."""
        assert (resource.plural, namespace) == ("sandboxusages", "test")
        self.reads.append(name)
        if self.error:
            raise self.error
        return self.records.get(name)


@pytest.fixture
def records() -> Records:
    return Records()


@pytest.fixture
async def http(records: Records) -> AsyncIterator[httpx.AsyncClient]:
    cache, classes = unconnected_cache(), SandboxClasses(cast("KubeClient", None), "test")
    classes.informer._put({"metadata": {"name": "default", "resourceVersion": "1"}, "spec": CLASS})  # pyright: ignore[reportPrivateUsage]
    running = status("Ready", workspaceKept=True, launch="Warm", readyTime="2026-01-02T23:59:00Z")
    running |= {"firstReadyTime": "2026-01-02T23:59:00Z", "startTime": "2026-01-02T20:00:00Z"}
    for number, owner in enumerate(["alice", "alice", "mallory"]):
        cache.remember(
            sandbox_object(
                f"sb-{number}", uid=f"uid-{number}", version=number + 1, spec={"owner": owner}, status=running
            )
        )
    broken = status("Ready", readyTime="yesterday")
    cache.remember(sandbox_object("sb-broken", uid="uid-broken", version=9, status=broken))
    usage = Usage(cast("KubeClient", records), "test", cache, classes, lambda: NOW)
    async with runtime_api(ScriptedService(), usage=usage) as http:
        yield http


def rows(response: httpx.Response) -> dict[str, int]:
    """Running seconds by day and class."""
    assert response.status_code == 200, response.text
    return {f"{row['date']} {row['class_name']}": row["running_seconds"] for row in response.json()["days"]}


async def test_the_record_goes_on_until_now_with_the_owners_own_sandboxes(
    http: httpx.AsyncClient, records: Records
) -> None:
    records.put(
        "alice",
        "2026-01-02T23:59:30Z",
        _2026_01_01={"default": {"runningSeconds": 100, "coldStarts": 3}, "large": {"runningSeconds": 7}},
        _2026_01_02={"default": {"runningSeconds": 60}},
    )
    records.put("mallory", "2026-01-02T23:59:30Z", _2026_01_02={"default": {"runningSeconds": 99999}})
    response = await http.get("/usage")
    assert rows(response) == {
        "2026-01-01 default": 100,
        "2026-01-01 large": 7,
        "2026-01-02 default": 60 + 2 * 30,
        "2026-01-03 default": 2 * 60,
    }
    body = response.json()
    assert body["through"] == "2026-01-03T00:01:00Z"
    assert body["total"] == {
        "running_seconds": 347,
        "suspended_seconds": 0,
        "cpu_millicore_seconds": 500 * 180,
        "memory_mebibyte_seconds": 1024 * 180,
        "storage_mebibyte_seconds": 1024 * 180,
        "cold_starts": 3,
        "warm_starts": 0,
        "resumes": 0,
    }
    assert records.reads == [usage_name("alice")]


async def test_since_leaves_out_earlier_days(http: httpx.AsyncClient, records: Records) -> None:
    records.put("alice", "2026-01-02T23:59:30Z", _2026_01_01={"default": {"runningSeconds": 100}})
    response = await http.get("/usage?since=2026-01-03")
    assert rows(response) == {"2026-01-03 default": 120}
    assert response.json()["total"]["running_seconds"] == 120
    assert rows(await http.get("/usage?since=2027-01-01")) == {}


async def test_without_a_record_present_sandboxes_count_from_their_beginning(http: httpx.AsyncClient) -> None:
    body = (await http.get("/usage")).json()
    assert (body["total"]["running_seconds"], body["total"]["warm_starts"]) == (2 * 120, 2)


@pytest.mark.parametrize(
    "since",
    [
        "",
        "yesterday",
        "2026-1-1",
        "2026-13-01",
        "2026-02-30",
        "0000-00-00",
        "2026-01-01T00:00:00Z",
        "2026-01-01\n",
        "\u0662\u0660\u0662\u0666-01-01",
        "1767225600",
        "../../secrets",
        "' OR 1=1 --",
        "9" * 5000,
        "\x00",
    ],
)
async def test_what_is_no_day_is_refused_and_not_repeated(
    http: httpx.AsyncClient, records: Records, since: str
) -> None:
    detail = refusal(await http.get(f"/usage?since={quote(since)}"), 422)
    assert detail.startswith("since: ")
    assert not since or since not in detail
    assert records.reads == []


@pytest.mark.parametrize(
    "query", ["owner=mallory", "since=2026-01-01&owner=mallory", "owner[]=mallory", "user=mallory"]
)
async def test_no_parameter_leads_to_another_owner(http: httpx.AsyncClient, records: Records, query: str) -> None:
    records.put("mallory", "2026-01-02T23:59:30Z", _2026_01_02={"default": {"runningSeconds": 99999}})
    assert (await http.get(f"/usage?{query}")).json()["total"]["running_seconds"] == 240
    assert records.reads == [usage_name("alice")]


@pytest.mark.parametrize(
    "status",
    [
        {"days": {"2026-01-02": 1}},
        {"days": {"2026-01-02": {"default": {"runningSeconds": -1}}}},
        {"days": []},
        {"through": "yesterday"},
        {"through": "9999-12-31T23:59:60Z"},
    ],
)
async def test_a_malformed_record_is_named(http: httpx.AsyncClient, records: Records, status: dict[str, Any]) -> None:
    records.put("alice", "2026-01-02T23:59:30Z")
    records.records[usage_name("alice")]["status"] |= status
    assert f"delete the SandboxUsage {usage_name('alice')}" in refusal(await http.get("/usage"), 503)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ApiError(503, "ServiceUnavailable", "no"), "overloaded or unreachable"),
        (ApiError(403, "Forbidden", 's is forbidden: User "u" cannot get resource "s"'), "permission"),
        (TimeoutError(), "overloaded or unreachable"),
    ],
)
async def test_a_failing_api_server_is_a_refusal_for_now(
    http: httpx.AsyncClient, records: Records, error: Exception, words: str
) -> None:
    records.error = error
    assert words in refusal(await http.get("/usage"), 503)
