"""Pages of other origins read the gateway's own answers, in every state of a sandbox and in both modes."""

import pytest

from sandbox_gateway.contract.retry import Passing
from sandbox_gateway.proxy.context import Bounds
from sandbox_gateway.proxy.directory import Endpoint, NoSandbox
from unit.sandbox_gateway.proxy.memory import MemoryClient, asking, memory_context
from unit.sandbox_gateway.proxy.support import ADDRESS, IDLE, KEY, OK, PAUSED, MemoryDirectory

ORIGIN = b"https://page.example"
STARTING = Endpoint("abc", None, "It is starting.", passing=Passing.STARTING)
FAILED = Endpoint("abc", None, "It is not ready.", "CrashLoopBackOff")
RUNNING = Endpoint("abc", ADDRESS)
DOWN_STATES = {"paused": PAUSED, "starting": STARTING, "failed": FAILED, "idle": IDLE, "gone": None}
HOSTS = {"header mode": b"gw", "host mode": b"abc.box.example", "work host": b"work-1-abc.box.example"}

type Lines = list[tuple[bytes, bytes]]


def client(endpoint: Endpoint | None, *, bounds: Bounds | None = None) -> MemoryClient:
    """Of a gateway that knows this sandbox, or that it is gone."""
    directory = MemoryDirectory()
    directory.services = {("work-1", "abc"): ADDRESS}
    if endpoint is None:
        directory.by_key[KEY] = NoSandbox.GONE
    else:
        directory.put(KEY, endpoint)
    return MemoryClient(memory_context(directory=directory, base_domain="box.example", bounds=bounds or Bounds()))


async def answer(
    line: bytes, fields: bytes = b"", *, host: bytes = b"gw", endpoint: Endpoint | None = None
) -> tuple[int, Lines]:
    """(status, header fields) of what the gateway answers by itself to a page."""
    asked = client(endpoint)
    asked.transport.deliver(b"%b HTTP/1.1\r\nHost: %b\r\nOrigin: %b\r\n%b\r\n" % (line, host, ORIGIN, fields))
    await asked.settle()
    first, *lines = asked.transport.written.partition(b"\r\n\r\n")[0].split(b"\r\n")
    assert asked.pool.opened == []
    await asked.close()
    return int(first.split(b" ")[1]), [tuple(line.split(b": ", 1)) for line in lines]  # pyright: ignore


def of(lines: Lines, name: bytes) -> list[bytes]:
    return [value for field, value in lines if field == name]


def assert_readable(lines: Lines) -> None:
    assert of(lines, b"Access-Control-Allow-Origin") == [ORIGIN]
    assert b"Origin" in of(lines, b"Vary")
    assert of(lines, b"Access-Control-Expose-Headers") == ([b"Retry-After"] if of(lines, b"Retry-After") else [])
    assert of(lines, b"Access-Control-Allow-Credentials") == []


@pytest.mark.parametrize("host", HOSTS.values(), ids=HOSTS)
@pytest.mark.parametrize(("state", "endpoint"), DOWN_STATES.items(), ids=DOWN_STATES)
async def test_a_preflight_passes_while_no_sandbox_can_be_asked(
    state: str, endpoint: Endpoint | None, host: bytes
) -> None:
    asked = b"Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: x-session-api-key\r\n"
    status, lines = await answer(b"OPTIONS /api/x", asked, host=host, endpoint=endpoint)
    assert status == 204, state
    assert_readable(lines)
    assert of(lines, b"Access-Control-Allow-Methods") == [b"POST"]
    assert of(lines, b"Access-Control-Allow-Headers") == [b"x-session-api-key"]


@pytest.mark.parametrize("host", HOSTS.values(), ids=HOSTS)
@pytest.mark.parametrize(
    ("state", "fields", "status", "again"),
    [
        ("paused", b"", 503, []),
        ("starting", b"", 503, [b"2"]),
        ("failed", b"", 503, []),
        ("gone", b"", 404, []),
        ("paused", b"Connection: Upgrade\r\nUpgrade: websocket\r\n", 503, []),
        ("starting", b"Connection: Upgrade\r\nUpgrade: websocket\r\n", 503, [b"2"]),
    ],
)
async def test_a_refusal_can_be_read(state: str, fields: bytes, status: int, again: list[bytes], host: bytes) -> None:
    key = b"X-Session-API-Key: key-of-abc\r\n"
    told, lines = await answer(b"GET /api/x", key + fields, host=host, endpoint=DOWN_STATES[state])
    assert (told, of(lines, b"Retry-After")) == (status, again)
    assert_readable(lines)


@pytest.mark.parametrize(
    ("line", "fields", "status"),
    [
        (b"GET /api/x", b"", 401),
        (b"GET /api/x", b"X-Session-API-Key: wrong\r\n", 401),
        (b"GET /v1/models", b"Authorization: Bearer wrong\r\n", 401),
        (b"GET /api/x", b"X-Session-API-Key: a\r\nX-Session-API-Key: b\r\n", 400),
        (b"GET /health", b"", 200),
    ],
)
async def test_other_answers_can_be_read(line: bytes, fields: bytes, status: int) -> None:
    told, lines = await answer(line, fields, endpoint=RUNNING)
    assert told == status
    assert_readable(lines)


async def test_one_request_too_many_can_be_read() -> None:
    asked = client(RUNNING, bounds=Bounds(requests_per_sandbox=0))
    request = b"GET /a HTTP/1.1\r\nHost: gw\r\nOrigin: null\r\nX-Session-API-Key: key-of-abc\r\n\r\n"
    asked.transport.deliver(request)
    await asked.settle()
    assert asked.transport.written.startswith(b"HTTP/1.1 429 ")
    assert b"\r\nAccess-Control-Allow-Origin: null\r\n" in asked.transport.written
    await asked.close()


async def test_a_request_that_broke_off_can_be_read() -> None:
    asked = await asking(b"GET /a HTTP/1.1\r\nHost: gw\r\nOrigin: x\r\nX-Session-API-Key: key-of-abc\r\n\r\n")
    asked.pool.opened[0][1].lose()
    await asked.settle()
    assert asked.transport.written.startswith(b"HTTP/1.1 502 ")
    assert b"\r\nAccess-Control-Allow-Origin: x\r\n" in asked.transport.written
    await asked.close()


async def test_nothing_is_added_to_a_sandboxs_answer_nor_for_what_is_no_page() -> None:
    asked = await asking(b"GET /a HTTP/1.1\r\nHost: gw\r\nOrigin: x\r\nX-Session-API-Key: key-of-abc\r\n\r\n", OK)
    assert asked.transport.written == OK
    asked.transport.deliver(b"GET /a HTTP/1.1\r\nHost: gw\r\n\r\n")
    await asked.settle()
    assert b"Access-Control" not in asked.transport.written
    assert b"Vary" not in asked.transport.written
    await asked.close()


async def test_a_running_sandbox_is_asked_in_host_mode() -> None:
    asked = client(RUNNING)
    asked.transport.deliver(
        b"OPTIONS /a HTTP/1.1\r\nHost: abc.box.example\r\nOrigin: x\r\nAccess-Control-Request-Method: POST\r\n\r\n"
    )
    await asked.settle()
    [(address, upstream)] = asked.pool.opened
    assert (address, upstream.written[:10]) == (ADDRESS, b"OPTIONS /a")
    await asked.close()


@pytest.mark.parametrize("host", [b"gw", b"abc.box.example"])
@pytest.mark.parametrize(
    ("line", "fields", "status"),
    [
        (b"OPTIONS /api/auth/workspace-session", b"Access-Control-Request-Method: POST\r\n", 204),
        (b"POST /api/auth/workspace-session", b"Content-Length: 0\r\nX-Session-API-Key: key-of-abc\r\n", 503),
    ],
)
async def test_a_page_may_have_the_cookie_of_the_workspace_set(
    line: bytes, fields: bytes, status: int, host: bytes
) -> None:
    told, lines = await answer(line, fields, host=host, endpoint=PAUSED)
    assert (told, of(lines, b"Access-Control-Allow-Credentials")) == (status, [b"true"])
    assert of(lines, b"Access-Control-Allow-Origin") == [ORIGIN]
