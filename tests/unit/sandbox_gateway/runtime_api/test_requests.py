"""Requests that are refused before the service is asked, and what reaches it."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, cast
from urllib.parse import quote

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from sandbox_common.api_keys import ApiKey, Policy
from sandbox_common.environment import PENDING_TIMEOUT
from sandbox_crds.models.sandbox import COMMAND_BYTES
from sandbox_gateway.runtime_api import gate
from sandbox_gateway.sandboxes.api_keys import ApiKeys
from sandbox_gateway.sandboxes.changes import requested
from unit.sandbox_gateway.support import ScriptedService, refusal, runtime_api

JSON = {"Content-Type": "application/json"}
ABSURD = ("", "-1", "604801", "10m", "1e3", " 60", "60\n", "\u0661", "9" * 5000)
"""Values of a variable that says a number of seconds."""


@pytest.fixture
def service() -> ScriptedService:
    return ScriptedService()


@pytest.fixture
async def http(service: ScriptedService) -> AsyncIterator[httpx.AsyncClient]:
    async with runtime_api(service) as client:
        yield client


MALFORMED = ("a b", "../../etc", "$(id)", "http://x/y", "a\nb", "a\0", "UPPER", "a:b:c", "ünï/a")
UNSEEN = ("\0", "\x1b", "\n", "\t", "\x7f", "\x85", "\u200b", "\u202e", "\u2066", "\u2028", "\ufeff", "\U000e0041")


def start_body(**fields: Any) -> dict[str, Any]:
    return {"image": "i", "session_id": "s", **fields}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"session_id": "s"}, "image"),
        (start_body(image=None), "image"),
        (start_body(image=""), "image"),
        (start_body(image="  "), "image"),
        (start_body(image=["i"]), "image"),
        (start_body(image="i" * 1025), "image"),
        ({"image": "i"}, "session_id"),
        *((start_body(image=image), "image") for image in MALFORMED),
        *((start_body(session_id=f"s{unseen}s"), "session_id") for unseen in UNSEEN),
        (start_body(session_id=None), "session_id"),
        (start_body(session_id=""), "session_id"),
        (start_body(session_id=5), "session_id"),
        (start_body(session_id="\ud800"), "session_id"),
        (start_body(command='unbalanced "quote'), "command"),
        (start_body(command="\ud800"), "command"),
        (start_body(command={"a": 1}), "command"),
        (start_body(command=["a", 5]), "command.1"),
        (start_body(command="nul\0"), "command.0"),
        (start_body(command=["x" * 8193]), "command.0"),
        (start_body(working_dir="relative"), "working_dir"),
        (start_body(working_dir=7), "working_dir"),
        (start_body(environment=["A"]), "environment"),
        (start_body(environment={"A": 1}), "environment.A"),
        (start_body(environment={"A": None}), "environment.A"),
        (start_body(environment={"A=B": "1"}), "environment"),
        (start_body(environment={"": "1"}), "environment"),
        (start_body(environment={"1A": "1"}), "environment"),
        (start_body(environment={".": "1"}), "environment"),
        (start_body(environment={"..": "1"}), "environment"),
        (start_body(environment={"A" * 254: "1"}), "environment"),
        (start_body(environment={"\ud800": "1"}), "environment"),
        (start_body(environment={"A": "nul\0"}), "environment.A"),
        (start_body(environment={"A": "\udfff"}), "environment.A"),
        (start_body(environment={"A": "x" * (128 * 1024 - 2)}), "environment"),
        (start_body(run_as_user=0), "run_as_user"),
        (start_body(run_as_user=-1), "run_as_user"),
        (start_body(run_as_user="10001"), "run_as_user"),
        (start_body(run_as_user=True), "run_as_user"),
        (start_body(run_as_user=2**31), "run_as_user"),
        (start_body(run_as_group=-1), "run_as_group"),
        (start_body(fs_group=-1), "fs_group"),
        (start_body(fs_group=1.5), "fs_group"),
        (start_body(image_pull_policy="Sometimes"), "image_pull_policy"),
        (start_body(runtime_class=5), "runtime_class"),
        (start_body(resource_factor=3), "resource_factor"),
        (start_body(resource_factor="2"), "resource_factor"),
        (start_body(resource_factor=True), "resource_factor"),
        (start_body(sandbox_class=5), "sandbox_class"),
        (start_body(sandbox_class=["small"]), "sandbox_class"),
        (start_body(sandbox_class="Small"), "sandbox_class"),
        (start_body(sandbox_class="a/b"), "sandbox_class"),
        (start_body(sandbox_class=".."), "sandbox_class"),
        (start_body(sandbox_class="small\n"), "sandbox_class"),
        (start_body(sandbox_class="small "), "sandbox_class"),
        (start_body(sandbox_class="\ud800"), "sandbox_class"),
        (start_body(sandbox_class="a" * 254), "sandbox_class"),
        (start_body(idle_timeout_seconds=-1), "idle_timeout_seconds"),
        (start_body(idle_timeout_seconds=31536001), "idle_timeout_seconds"),
        (start_body(idle_timeout_seconds=1.5), "idle_timeout_seconds"),
        (start_body(idle_timeout_seconds="60"), "idle_timeout_seconds"),
        (start_body(idle_timeout_seconds=True), "idle_timeout_seconds"),
        (start_body(pending_timeout_seconds=-1), "pending_timeout_seconds"),
        (start_body(pending_timeout_seconds=604801), "pending_timeout_seconds"),
        (start_body(pending_timeout_seconds="600"), "pending_timeout_seconds"),
        (start_body(pending_timeout_seconds=True), "pending_timeout_seconds"),
        *((start_body(environment={PENDING_TIMEOUT: said}), f"environment: {PENDING_TIMEOUT}") for said in ABSURD),
        ([], "body"),
        (None, "body"),
        ("text", "body"),
    ],
)
async def test_a_wrong_start_is_422_and_names_the_field(
    http: httpx.AsyncClient, service: ScriptedService, body: Any, field: str
) -> None:
    detail = refusal(await http.post("/start", content=json.dumps(body), headers=JSON), 422)
    assert detail.startswith((f"{field}: ", f"{field}.", f"{field} "))
    assert service.started == []


@pytest.mark.parametrize(
    ("fields", "detail"),
    [
        ({"command": ["x" * 8192] * 4 + ["y"]}, "command: is too large: 32769 bytes, at most 32768 in all"),
        ({"command": ["ü" * 8192] * 3}, "command: is too large: 49152 bytes, at most 32768 in all"),
        ({"command": ["x"] * 129}, "command: has too many words: 129, at most 128"),
        ({"command": [5] * 100_000}, "command: has too many words: 100000, at most 128"),
        ({"command": "x " * 129}, "command: has too many words: 129, at most 128"),
        ({"command": "'" * 65537}, "command: is too long: 65537 characters, at most 65536 before it is split"),
        (
            {"environment": dict.fromkeys(map(str, range(100_000)), 1)},
            "environment: has too many variables: 100000, at most 1024",
        ),
        (
            {"environment": {f"A{number}": "x" * 120 * 1024 for number in range(9)}},
            "environment: is too large: 1105956 bytes, at most 1044480 in all, as a Secret holds",
        ),
        ({"session_id": "s" * 1025}, "session_id: String should have at most 1024 characters, not 1025"),
        ({"working_dir": "/" * 4097}, "working_dir: String should have at most 4096 characters, not 4097"),
    ],
)
async def test_what_is_too_large_is_422_with_the_bound_and_what_there_is(
    http: httpx.AsyncClient, service: ScriptedService, fields: dict[str, Any], detail: str
) -> None:
    assert refusal(await http.post("/start", json=start_body(**fields)), 422) == detail
    assert service.started == []


async def test_what_is_as_large_as_it_may_be_is_taken(http: httpx.AsyncClient, service: ScriptedService) -> None:
    environment = {f"A{number}": "x" for number in range(1024)}
    body = start_body(command=["$" * 8192] * 4, environment=environment)
    assert (await http.post("/start", json=body)).status_code == 200
    [request] = service.started
    assert sum(map(len, requested(request)["command"])) == 2 * COMMAND_BYTES, "as many as the API server takes"


async def test_a_refusal_of_many_errors_names_some_and_counts_the_rest(http: httpx.AsyncClient) -> None:
    detail = refusal(await http.post("/start", json=start_body(environment=dict.fromkeys("ABCDEFGHIJKL", 1))), 422)
    assert detail.count("environment.") == 10
    assert detail.endswith("; and 2 more")


@pytest.mark.parametrize("name", ["Small", "small\n", "a/b", "a" * 254])
async def test_a_wrong_class_in_the_environment_is_422_and_names_the_variable(
    http: httpx.AsyncClient, name: str
) -> None:
    detail = refusal(await http.post("/start", json=start_body(environment={"OHSB_CLASS": name})), 422)
    assert detail == "environment: OHSB_CLASS is not the name of a SandboxClass"


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({}, ""),
        ({"environment": {"OHSB_CLASS": "large"}}, "large"),
        ({"environment": {"OHSB_CLASS": ""}}, ""),
        ({"environment": {"OHSB_CLASS": "large"}, "sandbox_class": ""}, "large"),
        ({"environment": {"OHSB_CLASS": "large"}, "sandbox_class": "small"}, "small"),
    ],
)
async def test_a_class_is_named_by_its_field_or_by_a_variable(
    http: httpx.AsyncClient, service: ScriptedService, fields: dict[str, Any], name: str
) -> None:
    await http.post("/start", json=start_body(**fields))
    assert [request.sandbox_class for request in service.started] == [name]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"{not json}",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"run_as_user": ' + b"9" * 5000 + b"}",
        b'{"image": "i", "session_id": "s"} x',
    ],
)
async def test_a_body_that_is_not_json_is_refused(http: httpx.AsyncClient, text: bytes) -> None:
    assert refusal(await http.post("/start", content=text, headers=JSON), 422).startswith("body: ")


async def test_a_refusal_does_not_repeat_values(http: httpx.AsyncClient) -> None:
    for environment in ({"A": ["hunter2"]}, {"A": "hunter2\0"}, ["hunter2"]):
        response = await http.post("/start", json=start_body(environment=environment))
        assert "hunter2" not in refusal(response, 422)


async def test_a_body_beyond_the_bound_is_refused(http: httpx.AsyncClient) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(5):
            yield b" " * 1024 * 1024

    big = b" " * (5 * 1024 * 1024)
    refusal(await http.post("/start", content=big, headers=JSON), 413)
    refusal(await http.post("/start", content=chunks(), headers=JSON), 413)


async def test_a_body_that_does_not_come_is_not_waited_for(
    http: httpx.AsyncClient, service: ScriptedService, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    monkeypatch.setattr(gate, "BODY_SECONDS", 0.05)
    assert "in time" in refusal(await http.post("/start", content=chunks(), headers=JSON), 408)
    assert service.started == []


def test_no_owner_takes_the_room_for_bodies_of_all() -> None:
    door = gate.Gate(cast(ASGIApp, None), cast(ApiKeys, None), 0)
    assert door.admits("a", gate.OWNER_BYTES)
    assert not door.admits("a", 1)
    assert all(door.admits(owner, gate.OWNER_BYTES) for owner in ("b", "c"))
    assert not door.admits("d", gate.OWNER_BYTES), "some is for the next one"
    assert door.admits("d", gate.OWNER_BYTES // 2)


async def test_an_owner_sends_so_many_bytes_in_a_minute(
    http: httpx.AsyncClient, service: ScriptedService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "OWNER_BYTES_PER_MINUTE", 4 * 1024**2)
    body = json.dumps(start_body(environment={"A": "x" * 100_000})).encode() + b" " * 1024**2
    answers = [await http.post("/start", content=body, headers=JSON) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert "have sent 4 MiB of bodies in this minute" in refusal(answers[3], 429)
    assert 0 < int(answers[3].headers["retry-after"]) <= 60
    assert (await http.get("/list")).status_code == 200, "what sends nothing is not held up"
    assert len(service.started) == 3


async def test_an_owner_has_so_many_calls_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of four calls at a time three are one owner's, and the next one's is there."""
    monkeypatch.setattr(gate, "CALLS", 4)
    under_way, go_on = asyncio.Queue[None](), asyncio.Event()

    async def held(scope: Scope, receive: Receive, send: Send) -> None:
        under_way.put_nowait(None)
        await go_on.wait()
        await Response(b"{}", media_type="application/json")(scope, receive, send)

    class Keys:
        def find(self, api_key: str) -> ApiKey:
            return ApiKey(api_key, {"c": "modest"}.get(api_key, "greedy"), (), Policy())

    transport = httpx.ASGITransport(gate.Gate(held, cast(ApiKeys, Keys()), 0))
    async with httpx.AsyncClient(transport=transport, base_url="http://gw") as client, asyncio.timeout(10):

        def call(key: str) -> asyncio.Task[httpx.Response]:
            return asyncio.create_task(client.get("/sessions/s", headers={"X-API-Key": key}))

        calls = [call(key) for key in "aab"]
        for _ in calls:
            await under_way.get()
        refused = await call("b")
        assert "other owners'" in refusal(refused, 429)
        assert refused.headers["retry-after"] == "5"
        calls.append(call("c"))
        await under_way.get()
        go_on.set()
        assert [answer.status_code for answer in await asyncio.gather(*calls)] == [200] * 4


async def test_bodies_of_all_requests_together_are_bounded(
    http: httpx.AsyncClient, service: ScriptedService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "ALL_BYTES", 1334)
    read, go_on = asyncio.Event(), asyncio.Event()

    async def chunks() -> AsyncIterator[bytes]:
        yield b" " * 900
        read.set()
        await go_on.wait()
        yield json.dumps(start_body()).encode()

    slow = asyncio.create_task(http.post("/start", content=chunks(), headers=JSON))
    await read.wait()
    await asyncio.sleep(0)
    refused = await http.post("/start", content=b" " * 200, headers=JSON)
    assert "again later" in refusal(refused, 503)
    assert refused.headers["retry-after"] == "5"
    assert (await http.post("/start", json=start_body())).status_code == 200
    go_on.set()
    assert (await slow).status_code == 200
    # What has ended, however it ended, takes no room.
    for _ in range(5):
        assert "again later" in refusal(await http.post("/start", content=b" " * 1001, headers=JSON), 503)
        assert "valid JSON" in refusal(await http.post("/start", content=b" " * 1000, headers=JSON), 422)
    assert len(service.started) == 2


@pytest.mark.parametrize("path", ["/stop", "/pause", "/resume"])
@pytest.mark.parametrize("body", [{}, *({"runtime_id": wrong} for wrong in (None, 5, "", "a" * 254))])
async def test_a_missing_runtime_id_is_422(http: httpx.AsyncClient, path: str, body: dict[str, Any]) -> None:
    assert refusal(await http.post(path, json=body), 422).startswith("runtime_id: ")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/", 404),
        ("GET", "/list/x", 404),
        ("GET", "/sessions", 404),
        ("GET", "/runtime", 404),
        ("GET", "/runtime/", 404),
        ("GET", "/runtime/a/b", 404),
        ("GET", "/explain/a/b", 404),
        ("GET", "/api/warm-runtime-configs/x", 404),
        ("GET", "/redoc", 404),
        ("GET", "/start", 405),
        ("POST", "/sessions/x", 405),
        ("POST", "/sessions/batch", 405),
        ("DELETE", "/list", 405),
        ("GET", "/build", 405),
        ("POST", "/image_exists", 405),
        ("POST", "/explain/x", 405),
        ("POST", "/usage", 405),
        ("GET", "/usage/other-owner", 404),
        ("POST", "/start/", 404),
    ],
)
async def test_an_unknown_path_is_a_refusal_that_names_it(
    http: httpx.AsyncClient, method: str, path: str, status: int
) -> None:
    response = await http.request(method, path)
    assert f"{method} {path}" in refusal(response, status)
    assert ("allow" in response.headers) is (status == 405)


@pytest.mark.parametrize("key", [None, b"", b"bad", "göod".encode(), b"\xff"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("POST", path) for path in ("/start", "/pause", "/resume", "/stop", "/build")),
        *(
            ("GET", path)
            for path in (
                "/sessions/s",
                "/sessions/batch?ids=s",
                "/runtime/sb-a",
                "/explain/sb-a",
                "/logs/sb-a",
                "/pools",
                "/limits",
                "/history/sb-a",
                "/list",
            )
        ),
        *(
            ("GET", path)
            for path in ("/registry_prefix", "/image_exists?image=a", "/build_status", "/usage", "/events", "/nothing")
        ),
        ("GET", "/api/warm-runtime-configs"),
    ],
)
async def test_without_the_key_nothing_is_read(
    http: httpx.AsyncClient, service: ScriptedService, key: bytes | None, method: str, path: str
) -> None:
    del http.headers["X-API-Key"]
    headers = [] if key is None else [(b"X-API-Key", key)]
    detail = refusal(await http.request(method, path, content=b"{not json", headers=headers), 401)
    assert detail.startswith("X-API-Key ")
    assert (service.started, service.asked) == ([], [])


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
@pytest.mark.parametrize(
    "path", ["/api/keys", "/api/keys/1", "/api/admin/challenge", "/api/admin/warm-runtime-configs/a%2Fb", "/api/admin/"]
)
async def test_administrators_are_told_where_to_go(http: httpx.AsyncClient, method: str, path: str) -> None:
    detail = refusal(await http.request(method, path, content=b"{not json"), 403)
    assert "admin" in detail
    assert "kubectl ohsb keys" in detail
    del http.headers["X-API-Key"]
    refusal(await http.request(method, path), 401)


async def test_the_documentation_is_open(http: httpx.AsyncClient) -> None:
    del http.headers["X-API-Key"]
    assert (await http.get("/docs")).status_code == 200
    description = await http.get("/openapi.json")
    assert description.json()["info"]["title"] == "OpenHands Runtime API"


@pytest.mark.parametrize(
    "query",
    [
        *("", "image=", "image=%20", "image=UPPER", "image=a%20b", "image=a%3A", "image=a%40sha256:0", "image=%3A%3A"),
        *("image=http://ghcr.io/a", "image=a%3Ftag", "image=..%2F..%2Fsecret", "image=a%00", "image=" + "a" * 1025),
        *("other=a", "image=user:pass%40ghcr.io/a/b"),
    ],
)
async def test_a_malformed_image_is_422(http: httpx.AsyncClient, query: str) -> None:
    assert refusal(await http.get(f"/image_exists?{query}"), 422).startswith("image: ")


async def test_the_image_builder_is_refused_with_what_to_do_instead(http: httpx.AsyncClient) -> None:
    # As RemoteRuntime of OpenHands before its version 1 sends it, and larger than other bodies may be.
    files = {"context": ("context.tar.gz", b"H4sI" * 2 * 1024 * 1024)}
    built = await http.post("/build", files=files, data={"target_image": "a", "tags": ["b"]})
    for response in (built, await http.get("/build_status?build_id=1"), await http.get("/build_status")):
        assert "push it to a registry" in refusal(response, 501)


async def test_many_sessions_at_once_are_asked_for_by_repeated_ids(
    http: httpx.AsyncClient, service: ScriptedService
) -> None:
    ids = ["a", "b/c", "d?e", "batch", "", "ü"]
    assert len((await http.get("/sessions/batch", params={"ids": ids})).json()) == len(ids)
    assert service.asked == ids


@pytest.mark.parametrize("path", ["/sessions/batch", "/sessions/%62atch", "/sessions/batch?x=1"])
async def test_without_ids_it_is_the_session_called_batch(
    http: httpx.AsyncClient, service: ScriptedService, path: str
) -> None:
    assert (await http.get(path)).json()["runtime_id"] == "sb-a"
    assert service.asked == ["batch" + path.removeprefix("/sessions/batch").removeprefix("/sessions/%62atch")]


@settings(max_examples=50)  # each makes an application
@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=300))
async def test_any_session_id_arrives_as_it_was_sent(session_id: str) -> None:
    service = ScriptedService()
    async with runtime_api(service) as http:
        # A path of dots is resolved by clients, encoded or not.
        encoded = "".join(f"%{byte:02X}" for byte in session_id.encode())
        url = httpx.URL("http://gateway.test").copy_with(raw_path=b"/sessions/" + encoded.encode())
        assert (await http.get(url)).status_code == 200
    assert service.asked == [session_id]


@pytest.mark.parametrize("session_id", ["a/b", "a//b/", "a?b", "a?b=c d&e=%", "ü b", "a+b", "a&b=c"])
async def test_a_session_id_that_a_client_does_not_encode_arrives_too(
    http: httpx.AsyncClient, service: ScriptedService, session_id: str
) -> None:
    await http.get(f"/sessions/{session_id}")
    await http.get(f"/sessions/{quote(session_id, safe='')}")
    assert service.asked == [session_id] * 2
