"""What each request comes to, as the access log and the metrics get it."""

from typing import Any, cast

import pytest
from prometheus_client import REGISTRY

from sandbox_gateway.process.tallies import Route
from sandbox_gateway.proxy.context import Bounds
from sandbox_gateway.proxy.meter import Entry
from unit.sandbox_gateway.proxy.memory import MemoryClient, Peer, asking, memory_context
from unit.sandbox_gateway.proxy.support import (
    DOWN_KEY,
    GONE_KEY,
    KEY,
    OK,
    POST,
    REQUEST,
    SWITCHED,
    UPGRADE,
    KeptLog,
)

SAMPLED = b"traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n"
UNSAMPLED = SAMPLED.replace(b"-01\r\n", b"-00\r\n")


def failures_only() -> Any:
    log = KeptLog()
    log.everything = False
    return memory_context(access_log=log)


async def entry_of(client: MemoryClient) -> Entry:
    await client.close()
    (entry,) = client.entries
    return entry


def told(entry: Entry) -> tuple[Route, int, str | None, str]:
    return entry.route, entry.status, entry.runtime_id, entry.detail


async def test_an_exchange() -> None:
    entry = await entry_of(await asking(answered=OK))
    assert told(entry) == (Route.SANDBOX, 200, "abc", "")
    assert (entry.method, entry.target, entry.client_ip) == (b"GET", b"/a", "127.0.0.1")
    assert (entry.received, entry.sent) == (len(REQUEST), len(OK))
    assert 0 < entry.added_seconds < entry.seconds


async def test_one_request_in_sixteen_is_timed() -> None:
    timed = value("added_seconds_count", route="sandbox")
    client = MemoryClient(failures_only())
    # The one after each sixteenth of the process.
    for _ in range(4 * 16 + 1):
        client.transport.deliver(REQUEST)
        await client.settle()
        client.pool.opened[0][1].deliver(OK)
        await client.settle()
    await client.close()
    assert value("added_seconds_count", route="sandbox") - timed == 4


@pytest.mark.parametrize(
    ("sent", "route", "status", "detail"),
    [
        (REQUEST.replace(KEY.encode(), b"wrong"), Route.GATEWAY, 401, "is not one of"),
        (REQUEST.replace(KEY.encode(), GONE_KEY.encode()), Route.GATEWAY, 404, "deleted"),
        (REQUEST.replace(KEY.encode(), DOWN_KEY.encode()), Route.GATEWAY, 503, "paused"),
        (b"GET /a HTTP/1.1\n\n", Route.GATEWAY, 400, "Malformed HTTP"),
        (b"GET /a HTTP/1.1\r\n\r\n", Route.GATEWAY, 400, "Host"),
        (POST + b"Transfer-Encoding: chunked\r\n\r\nnonsense\r\n", Route.SANDBOX, 400, "chunk"),
    ],
)
async def test_a_refusal(sent: bytes, route: Route, status: int, detail: str) -> None:
    client = MemoryClient(failures_only())
    client.transport.deliver(sent)
    await client.settle()
    entry = await entry_of(client)
    assert (entry.route, entry.status) == (route, status)
    assert detail.lower() in entry.detail.lower()
    assert entry.sent == len(client.transport.written)
    assert KEY not in entry.detail


@pytest.mark.parametrize(
    ("answer", "is_told"),
    [
        (OK, False),
        (OK.replace(b"200 OK", b"404 Not Found"), False),
        (OK.replace(b"200 OK", b"500 Internal Server Error"), True),
        (OK.replace(b"Length: 2", b"Length: 9"), True),
    ],
)
async def test_of_a_sandboxs_answers_only_failures_are_told(answer: bytes, is_told: bool) -> None:
    client = MemoryClient(failures_only())
    client.transport.deliver(REQUEST)
    await client.settle()
    client.pool.opened[0][1].deliver(answer)
    client.pool.opened[0][1].lose()
    await client.close()
    assert bool(client.entries) == is_told


async def test_an_answer_that_breaks_off_keeps_its_status() -> None:
    client = await asking(answered=OK.replace(b"Length: 2", b"Length: 9"))
    client.pool.opened[0][1].lose()
    assert told(await entry_of(client)) == (Route.SANDBOX, 200, "abc", "The answer broke off.")


async def test_a_sandbox_that_breaks_off_before_its_answer() -> None:
    client = await asking()
    client.pool.opened[0][1].lose()
    assert told(await entry_of(client))[:3] == (Route.SANDBOX, 502, "abc")


async def test_a_client_that_does_not_wait() -> None:
    assert told(await entry_of(await asking())) == (Route.SANDBOX, 0, "abc", "")


@pytest.mark.parametrize(("line", "count"), [(SAMPLED, 1), (UNSAMPLED, 0), (b"traceparent: nonsense\r\n", 0)])
async def test_a_sampled_trace_is_told(line: bytes, count: int) -> None:
    client = MemoryClient(failures_only())
    client.transport.deliver(REQUEST[:-2] + line + b"\r\n")
    await client.settle()
    assert line in client.pool.written()
    client.pool.opened[0][1].deliver(OK)
    await client.close()
    traces = [entry.trace and (entry.trace.trace_id, entry.trace.span_id) for entry in client.entries]
    assert traces == [("4bf92f3577b34da6a3ce929d0e0e4736", "")] * count


def spans_are_made() -> Any:
    context = failures_only()
    context.access_log.span = "1111111111111111"
    return context


def kept_log(client: MemoryClient) -> KeptLog:
    return cast(KeptLog, client.context.access_log)


async def test_a_span_becomes_the_parent_of_what_the_sandbox_does() -> None:
    client = MemoryClient(spans_are_made())
    traced = REQUEST[:-2] + SAMPLED + b"tracestate: a=1\r\nX-Other: traceparent\r\n\r\n"
    client.transport.deliver(traced)
    await client.settle()
    forwarded = client.pool.written()
    assert SAMPLED.replace(b"00f067aa0ba902b7", b"1111111111111111") in forwarded
    assert b"00f067aa0ba902b7" not in forwarded
    assert b"tracestate: a=1\r\n" in forwarded
    client.pool.opened[0][1].deliver(OK)
    await client.settle()
    [entry] = client.entries
    assert entry.trace
    assert (entry.trace.parent_id, entry.trace.span_id) == ("00f067aa0ba902b7", "1111111111111111")
    # The next request of the connection has no trace, and the same one again is its own.
    client.transport.deliver(REQUEST)
    await client.settle()
    client.pool.opened[0][1].deliver(OK)
    await client.settle()
    assert len(client.entries) == 1
    kept_log(client).span = "2222222222222222"
    client.transport.deliver(traced)
    await client.settle()
    assert SAMPLED.replace(b"00f067aa0ba902b7", b"2222222222222222") in client.pool.written()[len(forwarded) :]
    await client.close()


@pytest.mark.parametrize(
    "line", [UNSAMPLED, b"traceparent: nonsense\r\n", SAMPLED * 2, SAMPLED.replace(b"-01\r\n", b"-0\r\n")]
)
async def test_other_contexts_pass_unchanged(line: bytes) -> None:
    client = MemoryClient(spans_are_made())
    client.transport.deliver(REQUEST[:-2] + line + b"\r\n")
    await client.settle()
    assert line in client.pool.written()
    client.pool.opened[0][1].deliver(OK)
    await client.close()
    assert not client.entries


async def test_the_span_of_a_websocket_is_its_parent_from_the_handshake_on() -> None:
    client = MemoryClient(spans_are_made())
    client.transport.deliver(UPGRADE[:-2] + SAMPLED + b"\r\n")
    await client.settle()
    assert SAMPLED.replace(b"00f067aa0ba902b7", b"1111111111111111") in client.pool.written()
    client.pool.opened[0][1].deliver(SWITCHED)
    await client.settle()
    assert not client.entries
    entry = await entry_of(client)
    assert entry.trace
    assert (entry.status, entry.trace.span_id) == (101, "1111111111111111")


async def test_a_websocket_is_told_at_its_end() -> None:
    client = await asking(UPGRADE, SWITCHED)
    upstream = client.pool.opened[0][1]
    client.transport.deliver(b"12345")
    upstream.deliver(b"\x81\x01a")
    await client.settle()
    assert not client.entries
    entry = await entry_of(client)
    assert told(entry) == (Route.WEBSOCKET, 101, "abc", "")
    assert (entry.received, entry.sent) == (len(UPGRADE) + 5, len(SWITCHED) + 3)


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"openhands_sandbox_gateway_{name}", labels) or 0


async def test_a_websocket_is_counted_while_it_lasts() -> None:
    route = {"route": "websocket"}
    requests, received = value("requests_total", code="1xx", **route), value("received_bytes_total", **route)
    sent = value("sent_bytes_total", **route)
    client = await asking(UPGRADE, SWITCHED)
    client.transport.deliver(b"12345")
    client.pool.opened[0][1].deliver(b"\x81\x01a")
    for _ in range(2):  # before its end and after
        assert value("requests_total", code="1xx", **route) == requests + 1
        assert value("received_bytes_total", **route) == received + len(UPGRADE) + 5
        assert value("sent_bytes_total", **route) == sent + len(SWITCHED) + 3
        await client.close()


FIRST = (
    b"GET /sockets/events/1 HTTP/1.1\r\nHost: gw\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


async def test_a_websocket_that_the_gateway_closes() -> None:
    client = MemoryClient(failures_only())
    client.transport.deliver(FIRST + b"\x82\x80\0\0\0\0")  # a binary message: no key
    await client.settle()
    entry = await entry_of(client)
    assert told(entry) == (Route.GATEWAY, 101, None, "the first message must be the session key")
    assert entry.close_code == 1008
    assert (entry.received, entry.sent) == (len(FIRST) + 6, len(client.transport.written))


async def test_a_websocket_that_ends_before_its_first_message() -> None:
    client = MemoryClient()
    client.transport.deliver(FIRST)
    await client.settle()
    entry = await entry_of(client)
    assert told(entry) == (Route.GATEWAY, 101, None, "")
    assert entry.close_code is None


async def test_a_websocket_that_a_restart_closes_is_no_failure() -> None:
    client = MemoryClient(failures_only())
    client.transport.deliver(FIRST)
    await client.settle()
    for one in list(client.context.clients):
        one.drain()
    await client.close()
    assert not client.entries


async def test_each_request_has_its_own_account() -> None:
    client = MemoryClient()
    for sent in (REQUEST.replace(KEY.encode(), b"wrong"), REQUEST):
        client.transport.deliver(sent)
        await client.settle()
    client.pool.opened[0][1].deliver(OK)
    await client.close()
    assert [told(entry)[:3] for entry in client.entries] == [
        (Route.GATEWAY, 401, None),
        (Route.SANDBOX, 200, "abc"),
    ]
    assert client.entries[1].detail == ""
    assert client.entries[1].received == len(REQUEST)


async def test_too_many_requests_name_their_sandbox() -> None:
    context = memory_context(bounds=Bounds(requests_per_sandbox=1))
    first = MemoryClient(context)
    first.transport.deliver(REQUEST)
    await first.settle()
    second = MemoryClient(context)
    second.transport.deliver(REQUEST)
    await second.settle()
    assert [(entry.status, entry.runtime_id) for entry in second.entries] == [(429, "abc")]
    await first.close()
    await second.close()


@pytest.mark.parametrize(
    ("peer", "client_ip"),
    [
        (("203.0.113.7", 40000), "203.0.113.7"),
        (("2001:db8::7", 40000, 0, 0), "2001:db8::7"),
        (("::ffff:203.0.113.7", 40000, 0, 0), "203.0.113.7"),
        (None, "unknown"),
    ],
)
async def test_clients_have_addresses_of_either_family(peer: Peer, client_ip: str) -> None:
    client = MemoryClient(peer=peer)
    client.transport.deliver(REQUEST)
    await client.settle()
    assert f"\r\nX-Forwarded-For: {client_ip}\r\n".encode() in client.pool.written()
    client.pool.opened[0][1].deliver(OK)
    await client.settle()
    assert [entry.client_ip for entry in client.entries] == [client_ip]
    await client.close()
