"""Which requests count as activity and may wake a sandbox: those with its key, wherever it is, but for probes."""

import orjson
import pytest

from sandbox_gateway.proxy.answers import Answer
from sandbox_gateway.proxy.directory import Endpoint
from sandbox_gateway.proxy.head import RequestReader
from sandbox_gateway.proxy.routing import AwaitFirstMessage, Decision, ToSandbox, ToSleeping, route
from unit.sandbox_gateway.proxy.support import ADDRESS, IDLE, IDLE_FOR_WEBSOCKETS, KEY, PAUSED, MemoryDirectory

UPGRADE = "Connection: Upgrade\r\nUpgrade: websocket\r\n"
HOST = "abc.box.example"
OTHER_KEY = "key-of-another-sandbox"
RUNNING = Endpoint("abc", ADDRESS)


def decide(method: str, target: str, fields: str, endpoint: Endpoint = RUNNING, host: str = HOST) -> Decision:
    directory = MemoryDirectory()
    directory.put(KEY, endpoint)
    directory.add(OTHER_KEY, "other", ADDRESS)
    reader = RequestReader()
    assert reader.feed(f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n".encode()) is not None
    return route(reader.head(), directory, "box.example")


def counts(method: str, target: str, fields: str, host: str = HOST) -> bool:
    decision = decide(method, target, fields, host=host)
    assert isinstance(decision, ToSandbox)
    return decision.counts


PRESENTED = {
    "header": ("/a", f"X-Session-API-Key: {KEY}\r\n"),
    "bearer": ("/a", f"Authorization: Bearer {KEY}\r\n"),
    "bearer in lower case": ("/a", f"Authorization: bearer  {KEY}\r\n"),
    "cookie": ("/a", f"Cookie: oh_workspace_session_key={KEY}\r\n"),
    "cookie among others": ("/a", f"Cookie: a=b; oh_workspace_session_key={KEY}; c=d\r\n"),
    "query": (f"/a?session_api_key={KEY}", ""),
    "last one of a query": (f"/a?session_api_key=wrong&session_api_key={KEY}", ""),
    "one of several": (f"/a?session_api_key={KEY}", "X-Session-API-Key: wrong\r\nAuthorization: Bearer wrong\r\n"),
}

NOT_PRESENTED = {
    "none": ("/a", ""),
    "empty": ("/a?session_api_key=", "X-Session-API-Key:\r\nAuthorization: Bearer\r\nCookie: ;=\r\n"),
    "wrong": ("/a", "X-Session-API-Key: wrong\r\n"),
    "of another sandbox": ("/a", f"X-Session-API-Key: {OTHER_KEY}\r\n"),
    "twice": ("/a", f"X-Session-API-Key: {KEY}\r\nX-Session-API-Key: {KEY}\r\n"),
    "basic": ("/a", f"Authorization: Basic {KEY}\r\n"),
    "other cookie": ("/a", f"Cookie: oh_workspace={KEY}; xoh_workspace_session_key={KEY}\r\n"),
    "other parameter": (f"/a?key={KEY}", ""),
    "the platform's": ("/a", f"X-API-Key: {KEY}\r\n"),
    "in the path": (f"/{KEY}", ""),
    "not ASCII": ("/a", "X-Session-API-Key: k\xe9y\r\nCookie: oh_workspace_session_key=\xff\r\n"),
}


@pytest.mark.parametrize("upgrade", ["", UPGRADE])
@pytest.mark.parametrize(("target", "fields"), PRESENTED.values(), ids=PRESENTED)
def test_a_genuine_key_counts_in_host_mode(target: str, fields: str, upgrade: str) -> None:
    assert counts("GET", target, fields + upgrade)


@pytest.mark.parametrize("upgrade", ["", UPGRADE])
@pytest.mark.parametrize(("target", "fields"), NOT_PRESENTED.values(), ids=NOT_PRESENTED)
def test_without_one_a_request_passes_and_does_not_count(target: str, fields: str, upgrade: str) -> None:
    assert not counts("GET", target, fields + upgrade)


@pytest.mark.parametrize("host", [HOST, "gateway"])
@pytest.mark.parametrize("path", ["/health", "/alive", "/ready", "/server_info", "/health?x=/api"])
def test_probes_do_not_count(path: str, host: str) -> None:
    key = f"X-Session-API-Key: {KEY}\r\n"
    for method in ("GET", "HEAD"):
        assert not counts(method, path, key, host)
        assert isinstance(decide(method, path, key, IDLE, host), Answer)
    assert counts("POST", path, key, host)
    assert counts("GET", "/api" + path, key, host)


@pytest.mark.parametrize("host", [HOST, "gateway"])
def test_who_wakes_an_idle_sandbox(host: str) -> None:
    key = f"X-Session-API-Key: {KEY}\r\n"
    for method in ("GET", "POST", "DELETE", "OPTIONS"):
        assert decide(method, "/api/x", key, IDLE, host) == ToSleeping("abc", IDLE.detail)
    assert decide("GET", "/ws", key + UPGRADE, IDLE_FOR_WEBSOCKETS, host) == ToSleeping("abc", "It is asleep.")
    in_query = decide("GET", f"/ws?session_api_key={KEY}", UPGRADE, IDLE_FOR_WEBSOCKETS, host)
    assert in_query == ToSleeping("abc", "It is asleep.")


@pytest.mark.parametrize("host", [HOST, "gateway"])
@pytest.mark.parametrize(
    ("endpoint", "fields"), [(IDLE, UPGRADE), (PAUSED, ""), (PAUSED, UPGRADE)], ids=["WebSocket", "paused", "both"]
)
def test_who_does_not(endpoint: Endpoint, fields: str, host: str) -> None:
    assert refusal(decide("GET", "/x", f"X-Session-API-Key: {KEY}\r\n{fields}", endpoint, host)) == endpoint.detail


@pytest.mark.parametrize("upgrade", ["", UPGRADE])
@pytest.mark.parametrize(("target", "fields"), NOT_PRESENTED.values(), ids=NOT_PRESENTED)
def test_without_a_key_an_idle_sandbox_sleeps_on_and_says_how_to_wake_it(
    target: str, fields: str, upgrade: str
) -> None:
    assert refusal(decide("GET", target, fields + upgrade, IDLE_FOR_WEBSOCKETS)) == IDLE_FOR_WEBSOCKETS.detail


def test_a_first_message_may_still_name_an_idle_sandbox_in_header_mode() -> None:
    assert decide("GET", "/ws", UPGRADE, IDLE, "gateway") == AwaitFirstMessage()


def test_a_browsers_preflight_passes_so_that_its_request_can_wake() -> None:
    fields = "Origin: https://page.example\r\nAccess-Control-Request-Method: POST\r\n"
    answer = decide("OPTIONS", "/api/x", fields, IDLE)
    assert isinstance(answer, Answer)
    assert answer.status == 204
    assert decide("OPTIONS", "/api/x", fields) == ToSandbox("abc", ADDRESS, counts=False, cookies="all")


def refusal(decision: Decision) -> str:
    assert isinstance(decision, Answer)
    assert decision.status == 503
    detail: str = orjson.loads(decision.body)["detail"]
    return detail
