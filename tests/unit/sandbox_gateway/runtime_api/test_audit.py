"""What the audit log says of each call, and of which calls it says nothing."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi.routing import iter_route_contexts
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from sandbox_common.api_keys import ApiKey, Limits, Policy
from sandbox_crds.names import unkeyed_runtime_id
from sandbox_gateway.contract.errors import LimitReachedError, NoSandboxError
from sandbox_gateway.process.audit_log import AuditLog
from sandbox_gateway.process.tallies import Route
from sandbox_gateway.proxy.access_log import RequestLog
from sandbox_gateway.proxy.forwarded import TrustedProxies, network
from sandbox_gateway.proxy.meter import Entry
from sandbox_gateway.runtime_api import audit
from sandbox_gateway.runtime_api.audit import Auditor, Call, Noted, RefusedKeys, audit_line
from sandbox_gateway.runtime_api.paths import AUDITED, NOT_AUDITED, verb_of
from unit.sandbox_gateway.proxy.support import Gateway, KeptLog
from unit.sandbox_gateway.support import FixedApiKeys, ScriptedService, runtime_api, sandbox, scripted_app

WHEN = 1767323045.5
KEY = ApiKey("alice-1", "alice", (), Policy())
START = {"image": "agent:2", "session_id": "mine", "sandbox_class": "small"}
SANDBOX = {"session_id": "s", "runtime_id": "sb-a", "sandbox_class": "default", "image": "agent:1"}
SEVERAL = {"sandboxes": 1, "runtime_ids": ["sb-a"]}
MISSING = "image: Field required; session_id: Field required"
WHO = {"owner": "alice", "api_key_name": "alice-1"}


class Kept:
    """The lines that were written."""

    def __init__(self) -> None:
        self.got = b""
        self.reads = threading.Event()
        self.reads.set()
        self.auditor = Auditor(AuditLog(self.write))

    def write(self, data: bytes) -> None:
        assert self.reads.wait(10)
        self.got += data

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.got.splitlines()]

    @property
    def told(self) -> list[dict[str, Any]]:
        """What the log says of each call, without times and what each line has."""
        always = {"event", "level", "logger", "timestamp", "seconds"}
        return [{name: value for name, value in line.items() if name not in always} for line in self.lines]


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def service() -> ScriptedService:
    return ScriptedService()


@pytest.fixture
async def http(service: ScriptedService, kept: Kept) -> AsyncIterator[httpx.AsyncClient]:
    async with runtime_api(service, auditor=kept.auditor) as client:
        yield client


def omitted() -> float:
    return REGISTRY.get_sample_value("openhands_sandbox_gateway_audit_refusals_omitted_total") or 0


def test_each_route_is_audited_or_not() -> None:
    """A new route needs a decision: put its path into one of the two tables, and say in docs/observability.md why."""
    paths = [route.path for route in iter_route_contexts(scripted_app(ScriptedService()).routes)]
    assert len(paths) > 20
    assert set(paths) == set(AUDITED) | NOT_AUDITED
    assert not set(AUDITED) & NOT_AUDITED


@pytest.mark.parametrize(
    ("path", "verb"),
    [
        ("/start", "start"),
        ("/start/x", None),
        ("/sessions/batch", "batch"),
        ("/sessions/batch/x", "session"),
        ("/sessions/a/b\nc", "session"),
        ("/runtime/sb-a", "runtime"),
        ("/runtime/sb-a/x", None),
        ("/api/keys", "admin"),
        ("/api/keys/x/y", "admin"),
        ("/api/admin/", "admin"),
        ("/events", "events"),
        ("/logs/sb-a", "logs"),
        ("/logs/sb-a/x", None),
        ("/registry_prefix", None),
        ("/docs", None),
        ("/", None),
        ("", None),
    ],
)
def test_the_verb_of_a_path(path: str, verb: str | None) -> None:
    assert verb_of(path) == verb


def test_a_line() -> None:
    noted = Noted(session_id="s", runtime_id="sb-a", sandbox_class="default", image="agent:1")
    call = Call(WHEN, "start", 429, "203.0.113.7", "No room.", 0.0123456789, KEY, noted)
    assert json.loads(audit_line(call, {"worker": "2"})) == {
        "event": "call",
        "level": "info",
        "logger": "sandbox_gateway.audit",
        "timestamp": "2026-01-02T03:04:05.500000Z",
        "verb": "start",
        "status": 429,
        "seconds": 0.012346,
        "client_ip": "203.0.113.7",
        "reason": "No room.",
        "worker": "2",
        **WHO,
        **SANDBOX,
    }


def test_a_line_names_the_owner_whom_an_administrator_has_reached() -> None:
    noted, admin = Noted(), ApiKey("root", "root", (), Policy(admin=True))
    noted.sandbox(sandbox())
    line = json.loads(audit_line(Call(WHEN, "stop", 200, None, None, key=admin, noted=noted), {}))
    assert (line["owner"], line["sandbox_owner"], line["admin"]) == ("root", "alice", True)
    own = json.loads(audit_line(Call(WHEN, "stop", 200, None, None, key=KEY, noted=noted), {}))
    assert not {"sandbox_owner", "admin"} & set(own)


def test_what_is_not_known_is_left_out() -> None:
    assert set(json.loads(audit_line(Call(WHEN, "list", None, None, None), {}))) == {
        *("event", "level", "logger", "timestamp", "verb")
    }


HOSTILE = st.text(st.characters(), max_size=3000) | st.sampled_from(
    ['"}\n{"event":"call"', "\ud800", "\u202e\u2028\x1b[2J\x7f", "\U000e0041" * 500, '"' * 2000, "\\" * 2000]
)


@given(HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE, st.lists(st.from_regex(r"[a-z]{1,50}", fullmatch=True)))
def test_hostile_texts_are_escaped_and_bounded(
    session_id: str, name: str, class_: str, image: str, reason: str, several: list[str]
) -> None:
    key = ApiKey("n" * 253, '"' * 253, (), Policy(admin=True))
    one = Noted(session_id, name, class_, image, sandbox_owner=name)
    for noted in (one, Noted(runtime_ids=several * 100, sandbox_owner=name)):
        call = Call(WHEN, "warm_runtime_configs", 200, session_id, reason, 99999.123456, key, noted)
        line = audit_line(call, {"worker": "64"})
        assert line.isascii()
        assert len(line) <= 4096
        assert line.count(b"\n") == 1
        assert all(byte >= 0x20 for byte in line[:-1])
        assert line.endswith(b"}\n")
        assert json.loads(line)["owner"] == key.owner


def test_what_is_cut_shows_it_and_the_longest_image_and_owner_are_whole() -> None:
    image, owner = "registry.example/" + "i" * 1007, '"' * 253
    noted = Noted(session_id="é" * 1024, image=image)
    call = Call(WHEN, "start", 200, None, None, key=ApiKey("k", owner, (), Policy()), noted=noted)
    line = json.loads(audit_line(call, {}))
    assert (line["image"], line["owner"]) == (image, owner)
    assert line["session_id"] == "é" * 84 + "…"


def test_of_many_sandboxes_the_number_is_told_and_the_first() -> None:
    ids = [unkeyed_runtime_id("alice", str(number)) for number in range(100)]
    line = json.loads(audit_line(Call(WHEN, "list", 200, None, None, noted=Noted(runtime_ids=ids)), {}))
    assert (line["sandboxes"], line["runtime_ids"]) == (100, ids[:64])


def test_no_key_is_told_wherever_a_client_puts_it() -> None:
    session_key = "ohs_v1-abcdefghijklmnopqrstuvwxyz_0123456789"
    noted = Noted(session_id="of the-api-key", runtime_id=session_key, sandbox_class="the-api-key", image="the-api-key")
    line = audit_line(Call(WHEN, "start", 422, None, "the-api-key", key=KEY, noted=noted), {}, "the-api-key")
    assert b"the-api-key" not in line
    assert b"abcdefghijklmnopqrstuvwxyz" not in line
    assert json.loads(line)["session_id"] == "of [redacted]"


@pytest.mark.parametrize(
    ("method", "path", "body", "told"),
    [
        ("POST", "/start", START, {"verb": "start", "status": 200, **SANDBOX}),
        ("POST", "/start", {}, {"verb": "start", "status": 422, "reason": MISSING}),
        ("GET", "/sessions/s", None, {"verb": "session", "status": 200, **SANDBOX}),
        ("GET", "/sessions/batch?ids=s&ids=s", None, {"verb": "batch", "status": 200, **SEVERAL}),
        ("GET", "/sessions/batch", None, {"verb": "batch", "status": 200, **SANDBOX}),
        ("GET", "/runtime/sb-a", None, {"verb": "runtime", "status": 200, **SANDBOX}),
        ("GET", "/list", None, {"verb": "list", "status": 200, **SEVERAL}),
        ("POST", "/pause", {"runtime_id": "sb-a"}, {"verb": "pause", "status": 200, **SANDBOX}),
        ("POST", "/resume", {"runtime_id": "sb-a"}, {"verb": "resume", "status": 200, **SANDBOX}),
        ("POST", "/stop", {"runtime_id": "sb-a"}, {"verb": "stop", "status": 200, **SANDBOX}),
        ("GET", "/explain/sb-a", None, {"verb": "explain", "status": 200, **SANDBOX}),
        ("GET", "/pools", None, {"verb": "pools", "status": 200}),
        ("GET", "/limits", None, {"verb": "limits", "status": 200}),
        ("GET", "/history/sb-a", None, {"verb": "history", "status": 200, **SANDBOX}),
        ("GET", "/image_exists?image=a:1", None, {"verb": "image_exists", "status": 200, "image": "a:1"}),
        (
            "GET",
            "/api/warm-runtime-configs",
            None,
            {"verb": "warm_runtime_configs", "status": 200, "sandbox_class": "default"},
        ),
        ("DELETE", "/list", None, {"verb": "list", "status": 405, "reason": "The Runtime API has no DELETE /list"}),
    ],
)  # fmt: skip
async def test_each_call_has_a_line(
    http: httpx.AsyncClient, kept: Kept, method: str, path: str, body: Any, told: dict[str, Any]
) -> None:
    fields = {"X-Forwarded-For": "203.0.113.7"}
    assert (await http.request(method, path, json=body, headers=fields)).status_code == told["status"]
    assert kept.told == [{"client_ip": "203.0.113.7", **WHO, **told}]


@pytest.mark.parametrize("path", ["/api/keys", "/api/keys/1", "/api/admin/users"])
async def test_who_tries_to_administer_has_a_line(http: httpx.AsyncClient, kept: Kept, path: str) -> None:
    assert (await http.post(path, json={})).status_code == 403
    [told] = kept.told
    assert (told["verb"], told["status"], told["owner"]) == ("admin", 403, "alice")


NAMED = {"runtime_id": "sb-other"}
ODD_SESSION = {"session_id": "a/b?c= ", "runtime_id": unkeyed_runtime_id("alice", "a/b?c= ")}


@pytest.mark.parametrize(
    ("method", "path", "body", "told"),
    [
        (
            "POST",
            "/start",
            START,
            {
                "session_id": "mine",
                "runtime_id": unkeyed_runtime_id("alice", "mine"),
                "sandbox_class": "small",
                "image": "agent:2",
            },
        ),
        (
            "GET",
            "/sessions/a/b?c=%20",
            None,
            {"session_id": "a/b?c= ", "runtime_id": unkeyed_runtime_id("alice", "a/b?c= ")},
        ),
        ("GET", "/runtime/sb-other", None, NAMED),
        ("POST", "/pause", NAMED, NAMED),
        ("POST", "/resume", NAMED, NAMED),
        ("POST", "/stop", NAMED, NAMED),
        ("GET", "/explain/sb-other", None, NAMED),
        ("GET", "/logs/sb-other", None, NAMED),
        ("GET", "/history/sb-other", None, NAMED),
    ],
)
async def test_of_a_refused_call_what_it_asked_for_and_why(
    http: httpx.AsyncClient,
    service: ScriptedService,
    kept: Kept,
    method: str,
    path: str,
    body: Any,
    told: dict[str, str],
) -> None:
    service.error = NoSandboxError()
    assert (await http.request(method, path, json=body)).status_code == 404
    [line] = kept.told
    assert line.pop("reason") == NoSandboxError().detail
    assert line == {"verb": verb_of(path.partition("?")[0]), "status": 404, **WHO, **told}


@pytest.mark.parametrize("path", ["/registry_prefix", "/build_status", "/openapi.json", "/docs", "/no-such-path"])
async def test_what_changes_and_reveals_nothing_has_no_line(http: httpx.AsyncClient, kept: Kept, path: str) -> None:
    await http.get(path)
    assert kept.got == b""


async def test_a_limit_is_a_refusal_of_its_owner(http: httpx.AsyncClient, service: ScriptedService, kept: Kept) -> None:
    service.error = LimitReachedError("Owner alice has reached its limit.")
    assert (await http.post("/start", json=START)).status_code == 429
    [told] = kept.told
    assert (told["owner"], told["reason"]) == ("alice", "Owner alice has reached its limit.")


async def test_a_rate_is_too_and_no_call_of_it_is_left_out(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FixedApiKeys, "policy", Policy(limits=Limits(requests_per_minute=1)))
    monkeypatch.setattr(audit.time, "time", lambda: WHEN)
    async with runtime_api(ScriptedService(), auditor=kept.auditor) as http:
        statuses = [(await http.get("/list")).status_code for _ in range(150)]
    assert [line["status"] for line in kept.lines] == statuses == [200, *[429] * 149]
    assert {line["owner"] for line in kept.lines} == {"alice"}


async def test_refused_keys_are_bounded_in_a_second_and_take_nothing_from_the_others(
    http: httpx.AsyncClient, kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, before = WHEN, omitted()
    monkeypatch.setattr(audit.time, "time", lambda: now)
    for _ in range(130):
        assert (await http.get("/list", headers={"X-API-Key": "a-wrong-key"})).status_code == 401
        assert (await http.get("/list")).status_code == 200
    now += 1
    await http.get("/list", headers={"X-API-Key": ""})
    await http.get("/list")
    lines = kept.told
    assert sum("owner" in line for line in lines) == 131
    refused = [line for line in lines if "owner" not in line]
    assert len(refused) == 101
    assert refused[0] == {"verb": "list", "status": 401, "reason": "X-API-Key is not a known API key"}
    assert omitted() - before == 30
    assert b"a-wrong-key" not in kept.got


async def test_a_failure_of_the_gateway_has_a_line(
    http: httpx.AsyncClient, service: ScriptedService, kept: Kept
) -> None:
    service.error = ZeroDivisionError()
    assert (await http.get("/sessions/s")).status_code == 500
    assert [(line["verb"], line["status"]) for line in kept.lines] == [("session", 500)]


async def test_the_answer_leaves_when_the_line_is_written(http: httpx.AsyncClient, kept: Kept) -> None:
    kept.reads.clear()
    calling = asyncio.create_task(http.get("/list"))
    await asyncio.sleep(0.1)
    assert not calling.done()
    kept.reads.set()
    assert (await calling).status_code == 200
    assert len(kept.lines) == 1


async def test_a_call_that_the_process_ends_has_a_line_without_status(
    http: httpx.AsyncClient, service: ScriptedService, kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = asyncio.Event()

    async def never(*_: object) -> None:
        begun.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(service, "get", never)
    calling = asyncio.create_task(http.get("/runtime/sb-a"))
    await begun.wait()
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    await http.get("/list")
    assert [(line["verb"], line.get("status")) for line in kept.lines] == [("runtime", None), ("list", 200)]


async def test_lines_are_in_the_order_in_which_calls_ended(
    http: httpx.AsyncClient, service: ScriptedService, kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    gates = {str(number): asyncio.Event() for number in range(20)}
    get = service.get

    async def held(owner: str, session_id: str) -> object:
        await gates[session_id].wait()
        return sandbox(spec={"sessionID": session_id}), (await get(owner, session_id))[1]

    monkeypatch.setattr(service, "get_session", held)
    calls = {name: asyncio.create_task(http.get(f"/sessions/{name}")) for name in gates}
    order = sorted(gates, key=lambda name: int(name) * 7 % 20)
    for name in order:
        gates[name].set()
        await calls[name]
    assert [line["session_id"] for line in kept.lines] == order
    times = [line["timestamp"] for line in kept.lines]
    assert times == sorted(times)


async def test_switched_off_there_is_none(service: ScriptedService, capfd: pytest.CaptureFixture[str]) -> None:
    async with runtime_api(service) as http:
        assert (await http.post("/start", json=START)).status_code == 200
        assert (await http.get("/list", headers={"X-API-Key": "bad"})).status_code == 401
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("trusted", [True, False])
async def test_the_clients_address_is_that_behind_trusted_proxies(
    tmp_path: Any, kept: Kept, service: ScriptedService, trusted: bool
) -> None:
    proxies = TrustedProxies([network("127.0.0.0/8")]) if trusted else None
    async with Gateway(tmp_path, proxies=proxies) as gateway:
        await gateway.add_control_app(scripted_app(service, auditor=kept.auditor))
        fields = {"X-API-Key": "good", "X-Forwarded-For": "203.0.113.7"}
        async with httpx.AsyncClient(base_url=gateway.url, headers=fields) as http:
            assert (await http.get("/list")).status_code == 200
    assert [line["client_ip"] for line in kept.lines] == ["203.0.113.7" if trusted else "127.0.0.1"]


def entry(target: bytes, status: int, route: Route = Route.GATEWAY) -> Entry:
    detail = "X-API-Key is not a known API key"
    return Entry(route, b"GET", target, status, 0.0, 0.0, 1, 2, "203.0.113.7", None, None, detail, None)


@pytest.mark.parametrize(
    ("refused", "verb"),
    [
        (entry(b"/start?x=1", 401), "start"),
        (entry(b"/sessions/%62atch?ids=1", 401), "batch"),
        (entry(b"/sessions/\xff", 401), "session"),
        (entry(b"/registry_prefix", 401), None),
        (entry(b"/api/conversations", 401), None),
        (entry(b"/start", 502), None),
        (entry(b"/start", 401, Route.CONTROL), None),
        (entry(b"/start", 401, Route.SANDBOX), None),
    ],
)
async def test_what_the_data_plane_refuses_has_a_line(kept: Kept, refused: Entry, verb: str | None) -> None:
    inner = KeptLog()
    RefusedKeys(inner, kept.auditor).take(refused)
    assert inner.entries == [refused]
    await asyncio.sleep(0.1)
    told = {"status": 401, "client_ip": "203.0.113.7", "reason": "X-API-Key is not a known API key"}
    assert kept.told == ([{"verb": verb, **told}] if verb else [])


@pytest.mark.parametrize("mode", ["none", "failures", "all"])
def test_the_access_log_keeps_its_mode(kept: Kept, mode: Any) -> None:
    inner = RequestLog(mode, lambda _: b"", kept.write)
    assert RefusedKeys(inner, kept.auditor).everything is inner.everything
