"""The routing table: which upstream, or which answer, for which request."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_crds.names import SERVICES
from sandbox_gateway.proxy.answers import HEALTHY, Answer
from sandbox_gateway.proxy.directory import Endpoint
from sandbox_gateway.proxy.head import RequestReader
from sandbox_gateway.proxy.routing import AwaitFirstMessage, Decision, ToControl, ToSandbox, ToSleeping, route
from unit.sandbox_gateway.proxy.support import ADDRESS, DOWN_KEY, GONE_KEY, KEY, MemoryDirectory, at

SANDBOX = ToSandbox("abc", ADDRESS, counts=True)
UNCOUNTED = ToSandbox("abc", ADDRESS, counts=False)
UPGRADE = "Connection: Upgrade\r\nUpgrade: websocket\r\n"


RUNNING = Endpoint("abc", ADDRESS)
WORK_1, VSCODE = at(ADDRESS.ip, 12000), at(ADDRESS.ip, 60001)
BY_HOST = ToSandbox("abc", ADDRESS, counts=False, cookies="all")
TO_WORK_1 = ToSandbox("abc", WORK_1, counts=False, service="work-1", cookies="all")
TO_VSCODE = ToSandbox("abc", VSCODE, counts=False, service="vscode", cookies="all")


def decide(
    method: str,
    target: str,
    fields: str = "",
    *,
    host: str = "gateway",
    base_domain: str = "",
    endpoint: Endpoint = RUNNING,
    api_keys: set[str] | None = None,
) -> Decision:
    directory = MemoryDirectory()
    directory.api_keys = api_keys
    directory.put(KEY, endpoint)
    # Nobody can make such a Sandbox; were there one, it would not get what is another's.
    directory.put("key-of-a-taker", Endpoint("work-1-abc", at("192.0.2.66", 60000)))
    directory.services = {("work-1", "abc"): WORK_1, ("vscode", "abc"): VSCODE, ("work-1", "down"): WORK_1}
    reader = RequestReader()
    assert reader.feed(f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n".encode()) is not None
    return route(reader.head(), directory, base_domain)


def with_key(key: str) -> str:
    return f"X-Session-API-Key: {key}\r\n"


CONTROL = [
    "/start",
    "/stop",
    "/pause?x=1",
    "/resume",
    "/list",
    "/events",
    "/events?owner=a",
    "/usage",
    "/usage?since=2026-01-01",
    "/sessions/a%2Fb",
    "/sessions/batch?ids=a&ids=b",
    "/sessions/",
    "/runtime/abc",
    "/registry_prefix",
    "/image_exists?image=x",
    "/build",
    "/build_status?build_id=1",
    "/explain/abc",
    "/logs/abc?follow=true",
    "/pools",
    "/limits?owner=a",
    "/history/abc",
    "/api/warm-runtime-configs",
    "/api/admin/challenge",
    "/api/admin/warm-runtime-configs/a",
    "/api/keys",
    "/api/keys/3",
]


@pytest.mark.parametrize("target", CONTROL)
@pytest.mark.parametrize("fields", ["", with_key(KEY), with_key("wrong")])
@pytest.mark.parametrize("base_domain", ["", "box.example"])
def test_the_runtime_api_is_the_control_planes(target: str, fields: str, base_domain: str) -> None:
    assert decide("POST", target, fields, base_domain=base_domain) == ToControl()


@pytest.mark.parametrize("target", CONTROL)
@pytest.mark.parametrize(
    ("fields", "status", "words"),
    [
        ("", 401, "is missing"),
        (with_key(KEY), 401, "is missing"),
        ("X-API-Key: \r\n", 401, "is missing"),
        ("X-API-Key: bad\r\n", 401, "is not a known"),
        ("x-api-key: good2\r\n", 401, "is not a known"),
        ("X-API-Key: g\xf6od\r\n", 401, "is not a known"),
        ("X-API-Key: good, good\r\n", 401, "is not a known"),
        ("X-API-Key: good\r\nX-API-Key: good\r\n", 400, "more than once"),
        ("X_API_Key: good\r\n", 401, "is missing"),
    ],
)
def test_without_a_known_api_key_the_control_plane_is_not_asked(
    target: str, fields: str, status: int, words: str
) -> None:
    answer = decide("GET", target, fields, api_keys={"good"})
    assert isinstance(answer, Answer)
    assert (answer.status, answer.headers if status == 401 else ()) == (status, ())
    assert words in orjson.loads(answer.body)["detail"]


@pytest.mark.parametrize("target", CONTROL)
def test_with_a_known_api_key_it_is(target: str) -> None:
    assert decide("GET", target, "x-Api-key:  good \r\n", api_keys={"good"}) == ToControl()
    assert decide("GET", "/docs", api_keys={"good"}) == ToControl()


NOT_CONTROL = [
    "/",
    "/starts",
    "/start/",
    "/sessions",
    "/listing",
    "/api/keysx",
    "/api/conversations",
    "//start",
    "/%73tart",
    "/healthz",
    "/readyz",
    "/x?/start",
    "/server_info/x",
]


@pytest.mark.parametrize("target", NOT_CONTROL)
def test_every_other_path_is_a_sandboxs(target: str) -> None:
    assert decide("GET", target, with_key(KEY)) == SANDBOX
    answer = decide("GET", target)
    assert isinstance(answer, Answer)
    assert answer.status == 401
    assert "X-Session-API-Key" in orjson.loads(answer.body)["detail"]


@pytest.mark.parametrize("target", ["/docs", "/docs/swagger-ui.css", "/openapi.json"])
def test_the_documentation_is_the_control_planes_without_a_key(target: str) -> None:
    assert decide("GET", target) == ToControl()
    assert decide("GET", target, with_key(KEY)) == SANDBOX


@pytest.mark.parametrize(
    "target", ["/console", "/console/", "/console?x", "/console/sandboxes/a%0Ab?q=%2F", "/console//x"]
)
@pytest.mark.parametrize("base_domain", ["", "box.example"])
def test_the_console_is_the_control_planes_without_a_key(target: str, base_domain: str) -> None:
    strange = "Authorization: Bearer of-a-proxy\r\nCookie: a=b\r\n"
    for method, fields in (("GET", ""), ("POST", ""), ("GET", strange)):
        assert decide(method, target, fields, base_domain=base_domain) == ToControl()
    assert decide("GET", target, with_key(KEY), base_domain=base_domain) == SANDBOX
    # The host of a sandbox is the sandbox's, whatever the path.
    assert decide("GET", target, host="abc.box.example", base_domain="box.example") == BY_HOST


@pytest.mark.parametrize("target", ["/consoles", "/console.js", "/x/console", "//console", "/%63onsole"])
def test_what_only_looks_like_the_console_is_not(target: str) -> None:
    assert refused(decide("GET", target)) == 401


@pytest.mark.parametrize("target", ["/health", "/alive", "/health?x"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_health_without_a_key_is_the_gateways(method: str, target: str) -> None:
    assert decide(method, target) is HEALTHY
    assert decide(method, target, with_key(KEY)) == UNCOUNTED


def refused(decision: Decision) -> int:
    assert isinstance(decision, Answer)
    assert orjson.loads(decision.body).keys() == {"detail"}
    return decision.status


@pytest.mark.parametrize(
    ("status", "fields"),
    [
        (401, with_key("wrong")),
        (401, with_key("")),
        (401, with_key("k\xe9y")),
        (404, with_key(GONE_KEY)),
        (503, with_key(DOWN_KEY)),
        (400, with_key(KEY) + with_key(KEY)),
    ],
)
@pytest.mark.parametrize("upgrade", ["", UPGRADE])
def test_keys_that_open_nothing(status: int, fields: str, upgrade: str) -> None:
    assert refused(decide("GET", "/x", fields + upgrade)) == status


def test_a_sandbox_that_is_down_says_why() -> None:
    answer = decide("GET", "/x", with_key(DOWN_KEY))
    assert isinstance(answer, Answer)
    assert orjson.loads(answer.body) == {"detail": "Sandbox down is paused."}


@pytest.mark.parametrize(
    ("target", "fields", "expected"),
    [
        ("/sockets/events/1", "", AwaitFirstMessage()),
        ("/sockets/events/1?resend_mode=all", "", AwaitFirstMessage()),
        ("/sockets/events/1", with_key(KEY), SANDBOX),
        (f"/sockets/events/1?a=b&session_api_key={KEY}", "", SANDBOX),
        ("/sockets/events/1?session_api_key=key%2Dof-abc", "", SANDBOX),
        (f"/sockets/events/1?session_api_key=wrong&session_api_key={KEY}", "", SANDBOX),
    ],
)
def test_websockets_in_header_mode(target: str, fields: str, expected: Decision) -> None:
    assert decide("GET", target, UPGRADE + fields) == expected


def test_a_wrong_key_in_the_query_of_a_websocket() -> None:
    assert refused(decide("GET", "/sockets/events/1?session_api_key=wrong", UPGRADE)) == 401


def test_a_key_in_the_query_counts_for_websockets_only() -> None:
    assert refused(decide("GET", f"/api/x?session_api_key={KEY}")) == 401


BEARER = f"Authorization: Bearer {KEY}\r\n"
COOKIE = f"Cookie: oh_workspace_session_key={KEY}\r\n"
FILE = "/api/conversations/c0ffee/workspace/a/report.html"
BY_COOKIE = ToSandbox("abc", ADDRESS, counts=True, cookies="workspace")


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (BEARER, SANDBOX),
        (f"authorization: bearer   {KEY}\r\n", SANDBOX),
        (with_key(KEY) + BEARER, SANDBOX),
        (with_key(KEY) + "Authorization: Bearer of-somebody-else\r\n", SANDBOX),
        (with_key(KEY) + "Authorization: Basic eDp5\r\n", SANDBOX),
        (f"Authorization: Bearer {DOWN_KEY}\r\n", 503),
        (f"Authorization: Bearer {GONE_KEY}\r\n", 404),
        ("Authorization: Bearer wrong\r\n", 401),
        ("Authorization: Bearer\r\n", 401),
        ("Authorization: Basic eDp5\r\n", 401),
        (f"Authorization: Basic {KEY}\r\n", 401),
        (with_key("wrong") + BEARER, 401),
        (with_key(KEY) + f"Authorization: Bearer {DOWN_KEY}\r\n", 400),
        (with_key(DOWN_KEY) + BEARER, 400),
        (with_key(KEY) + f"Authorization: Bearer {GONE_KEY}\r\n", 400),
    ],
)
def test_a_bearer_token_names_the_sandbox(method: str, fields: str, expected: ToSandbox | int) -> None:
    decision = decide(method, "/v1/chat/completions", fields)
    assert (refused(decision) if isinstance(expected, int) else decision) == expected


@pytest.mark.parametrize(
    ("method", "target", "fields", "expected"),
    [
        ("GET", FILE, COOKIE, BY_COOKIE),
        ("GET", "/api/conversations/1/workspace", COOKIE, BY_COOKIE),
        ("GET", FILE + "?x=1", f"Cookie: a=b;oh_workspace_session_key={KEY}; c=d\r\n", BY_COOKIE),
        ("GET", FILE, f"Cookie: oh_workspace_session_key={DOWN_KEY}; oh_workspace_session_key={KEY}\r\n", BY_COOKIE),
        ("GET", FILE, "Authorization: Bearer of-somebody-else\r\n" + COOKIE, BY_COOKIE),
        ("GET", FILE, f"Cookie: oh_workspace_session_key={DOWN_KEY}\r\n", 503),
        ("GET", FILE, f"Cookie: oh_workspace_session_key={GONE_KEY}\r\n", 404),
        ("GET", FILE, "Cookie: oh_workspace_session_key=wrong\r\n", 401),
        ("GET", FILE, "Cookie: oh_workspace_session_key=\r\n", 401),
        ("GET", FILE, f"Cookie: xoh_workspace_session_key={KEY}\r\n", 401),
        # A browser sends the cookie by itself: it gives way to a key, and goes to no other sandbox.
        ("GET", FILE, with_key(KEY) + COOKIE, SANDBOX),
        ("GET", FILE, with_key(KEY) + f"Cookie: oh_workspace_session_key={DOWN_KEY}\r\n", SANDBOX),
        ("GET", FILE, BEARER + f"Cookie: oh_workspace_session_key={DOWN_KEY}\r\n", SANDBOX),
        ("GET", FILE, with_key("wrong") + COOKIE, 401),
        # Where the agent server does not take it, it names nothing.
        ("POST", FILE, COOKIE, 401),
        ("HEAD", FILE, COOKIE, 401),
        ("DELETE", FILE, COOKIE, 401),
        ("GET", "/api/conversations/1/workspaces", COOKIE, 401),
        ("GET", "/api/conversations/1/events", COOKIE, 401),
        ("GET", "/api/conversations//workspace/x", COOKIE, 401),
        ("GET", "/x/api/conversations/1/workspace/x", COOKIE, 401),
        ("GET", "/api/conversations/1/events?/workspace/x", COOKIE, 401),
        ("GET", FILE, UPGRADE + COOKIE, AwaitFirstMessage()),
    ],
)
def test_the_cookie_names_the_sandbox_for_files_of_its_workspace(
    method: str, target: str, fields: str, expected: Decision | int
) -> None:
    decision = decide(method, target, fields)
    assert (refused(decision) if isinstance(expected, int) else decision) == expected


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        (with_key("wrong"), "X-Session-API-Key"),
        ("Authorization: Bearer wrong\r\n", "Authorization"),
        ("Cookie: oh_workspace_session_key=wrong\r\n", "/api/auth/workspace-session"),
        ("", "Bearer token"),
    ],
)
def test_who_has_no_good_key_reads_where_it_was_looked_for(fields: str, place: str) -> None:
    answer = decide("GET", FILE, fields)
    assert isinstance(answer, Answer)
    assert answer.status == 401
    assert place in orjson.loads(answer.body)["detail"]
    assert "wrong" not in orjson.loads(answer.body)["detail"]


def test_somebody_elses_bearer_token_takes_nothing_away() -> None:
    """A proxy in front may add one to each request."""
    token = "Authorization: Bearer of-somebody-else\r\n"
    assert decide("GET", "/health", token) is HEALTHY
    assert decide("GET", "/docs", token) == ToControl()
    assert decide("GET", "/sockets/events/1", UPGRADE + token) == AwaitFirstMessage()
    assert decide("POST", "/start", token) == ToControl()
    assert decide("GET", "/api/x", token, host="abc.box.example", base_domain="box.example") == BY_HOST


def test_a_websockets_keys_must_be_of_one_sandbox() -> None:
    target = f"/sockets/events/1?session_api_key={KEY}"
    assert decide("GET", target, UPGRADE + with_key(KEY)) == SANDBOX
    assert refused(decide("GET", target, UPGRADE + with_key(DOWN_KEY))) == 400
    assert decide("GET", target, UPGRADE + BEARER) == SANDBOX


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("abc.box.example", BY_HOST),
        ("ABC.Box.Example:8443", BY_HOST),
        ("abc.box.example.", BY_HOST),
        ("down.box.example", 503),
        ("nobody.box.example", 404),
        ("work-1-abc.box.example", TO_WORK_1),
        ("Work-1-ABC.box.example.:8443", TO_WORK_1),
        ("vscode-abc.box.example", TO_VSCODE),
        ("work-2-abc.box.example", 404),
        ("work-1-down.box.example", 503),
        ("work-1-nobody.box.example", 404),
        ("work-1-.box.example", 404),
        ("vscode-work-1-abc.box.example", 404),
        ("work-1-work-1-abc.box.example", 404),
        ("work-3-abc.box.example", 404),
        ("8080-abc.box.example", 404),
        ("vscodeabc.box.example", 404),
        ("work-1.abc.box.example", 404),
        ("x.abc.box.example", 404),
        (".box.example", 404),
        ("box.example", ToControl()),
        ("xbox.example", ToControl()),
        ("abc.other.example", ToControl()),
        ("[::1]:8000", ToControl()),
    ],
)
@pytest.mark.parametrize("fields", ["", UPGRADE, with_key("wrong")])
def test_host_mode(host: str, expected: ToSandbox | ToControl | int, fields: str) -> None:
    for target in ("/start", "/health", "/api/x") if not isinstance(expected, ToControl) else ("/start",):
        decision = decide("GET", target, fields, host=host, base_domain="box.example")
        assert (refused(decision) if isinstance(expected, int) else decision) == expected


FAILED = Endpoint("abc", None, "It is not ready.", "CrashLoopBackOff: its last words", wakes=True)


@pytest.mark.parametrize("target", ["/health", "/api/x"])
@pytest.mark.parametrize("fields", ["", UPGRADE, with_key("wrong"), with_key(DOWN_KEY), "Cookie: a=b\r\n"])
def test_in_host_mode_nobody_without_its_key_is_told_why_a_sandbox_is_down(target: str, fields: str) -> None:
    answer = decide("GET", target, fields, host="abc.box.example", base_domain="box.example", endpoint=FAILED)
    assert isinstance(answer, Answer)
    assert (answer.status, orjson.loads(answer.body)) == (503, {"detail": FAILED.detail})


@pytest.mark.parametrize("host", ["abc.box.example", "box.example"])
def test_who_has_its_key_is_told_why_a_sandbox_is_down(host: str) -> None:
    told = f"{FAILED.detail} {FAILED.cause}"
    answer = decide("GET", "/health", with_key(KEY), host=host, base_domain="box.example", endpoint=FAILED)
    assert isinstance(answer, Answer)
    assert orjson.loads(answer.body) == {"detail": told}
    held = decide("GET", "/api/x", with_key(KEY), host=host, base_domain="box.example", endpoint=FAILED)
    assert held == ToSleeping("abc", told)


def test_hosts_mean_nothing_without_a_base_domain() -> None:
    for host in ("abc.box.example", "work-1-abc.box.example", "vscode-abc.box.example"):
        assert decide("GET", "/start", host=host) == ToControl()
        assert refused(decide("GET", "/", host=host)) == 401


@pytest.mark.parametrize(("host", "words"), [("8080-abc", "vscode-, work-1- or work-2-"), ("work-2-abc", "declared")])
def test_a_port_that_is_not_declared_names_the_remedy(host: str, words: str) -> None:
    answer = decide("GET", "/", host=f"{host}.box.example", base_domain="box.example")
    assert isinstance(answer, Answer)
    assert (answer.status, words in orjson.loads(answer.body)["detail"]) == (404, True)


SERVICE_HOSTS = st.builds(
    "{}-{}".format, st.sampled_from(SERVICES), st.sampled_from(["abc", "down", "work-1-abc", "x", "vscode-abc", ""])
)


@given(SERVICE_HOSTS, st.sampled_from(["", UPGRADE, with_key(KEY), "Cookie: vscode-tkn=" + KEY + "\r\n"]))
def test_the_host_of_a_service_never_leads_to_a_sandbox_of_that_name_nor_to_the_agent_server(
    label: str, fields: str
) -> None:
    decision = decide("GET", "/", fields, host=f"{label}.box.example", base_domain="box.example")
    if isinstance(decision, ToSandbox):
        assert f"{decision.service}-{decision.runtime_id}" == label
        assert decision.address in (WORK_1, VSCODE)
        assert decision.runtime_id == "abc"
    else:
        assert refused(decision) in (404, 503)


SLEEPING = Endpoint("abc", None, "It is asleep.", "CrashLoopBackOff: its last words", wakes=True)


@pytest.mark.parametrize(
    ("host", "target", "fields", "wakes"),
    [
        ("work-1-abc", "/", "", False),
        ("work-1-abc", "/", with_key("wrong"), False),
        ("work-1-abc", f"/?tkn={KEY}", "", False),
        ("work-1-abc", "/", with_key(KEY), True),
        ("vscode-abc", "/", "", False),
        ("vscode-abc", f"/?tkn={KEY}&folder=%2Fworkspace", "", True),
        ("vscode-abc", "/?tkn=wrong", "", False),
        ("vscode-abc", f"/?tkn={DOWN_KEY}", "", False),
        ("vscode-abc", "/", f"Cookie: vscode-tkn={KEY}\r\n", True),
        ("vscode-abc", "/", f"Cookie: vscode-tkn={KEY}\r\n{UPGRADE}", False),
        ("abc", f"/?tkn={KEY}", f"Cookie: vscode-tkn={KEY}\r\n", False),
    ],
)
def test_only_who_shows_the_key_wakes_a_sandbox_by_a_service(host: str, target: str, fields: str, wakes: bool) -> None:
    decision = decide("GET", target, fields, host=f"{host}.box.example", base_domain="box.example", endpoint=SLEEPING)
    if wakes:
        assert decision == ToSleeping("abc", f"{SLEEPING.detail} {SLEEPING.cause}")
    else:
        assert refused(decision) == 503
        assert isinstance(decision, Answer)
        assert (SLEEPING.cause.encode() in decision.body) is (UPGRADE in fields)


def test_a_preflight_to_a_service_is_answered_by_the_page_itself_if_it_is_up() -> None:
    asked = "Origin: https://page.example\r\nAccess-Control-Request-Method: POST\r\n"
    assert decide("OPTIONS", "/", asked, host="work-1-abc.box.example", base_domain="box.example") == TO_WORK_1
    sleeping = decide(
        "OPTIONS", "/", asked, host="work-1-abc.box.example", base_domain="box.example", endpoint=SLEEPING
    )
    assert isinstance(sleeping, Answer)
    assert sleeping.status == 204


def test_a_preflight_has_no_key_and_passes() -> None:
    asked = "Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: x-session-api-key\r\n"
    answer = decide("OPTIONS", "/api/x", "Origin: https://page.example\r\n" + asked)
    assert isinstance(answer, Answer)
    assert answer.status == 204
    headers = dict(answer.headers)
    assert headers[b"Access-Control-Allow-Methods"] == b"POST"
    assert headers[b"Access-Control-Allow-Headers"] == b"x-session-api-key"


def test_other_options_need_a_key() -> None:
    assert refused(decide("OPTIONS", "/api/x")) == 401
    assert refused(decide("OPTIONS", "/api/x", "Origin: https://page.example\r\n")) == 401
