"""The access log: what its lines tell, and that it keeps nobody."""

import asyncio
import json
import threading
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client import REGISTRY

from sandbox_common.logs import line_renderer
from sandbox_gateway.process.tallies import Route
from sandbox_gateway.proxy import access_log
from sandbox_gateway.proxy.access_log import AccessLogMode, RequestLog, event
from sandbox_gateway.proxy.meter import Entry
from sandbox_gateway.proxy.traces import Trace

ENTRY = Entry(
    route=Route.SANDBOX,
    method=b"GET",
    target=b"/api/conversations/1/events/search?session_api_key=secret",
    status=502,
    seconds=0.0123456789,
    added_seconds=0.00005,
    received=100,
    sent=200,
    client_ip="127.0.0.1",
    runtime_id="abc",
    trace=Trace("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", flags=1),
    detail="Sandbox abc broke off before it answered.",
    close_code=None,
)
TOLD: dict[str, Any] = {
    "event": "request",
    "level": "info",
    "logger": "sandbox_gateway.access",
    "timestamp": "2026-01-02T03:04:05.500000Z",
    "route": "sandbox",
    "method": "GET",
    "path": "/api/conversations/{}/events/search",
    "status": 502,
    "seconds": 0.012346,
    "added_seconds": 0.00005,
    "received_bytes": 100,
    "sent_bytes": 200,
    "client_ip": "127.0.0.1",
    "runtime_id": "abc",
    "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
    "detail": "Sandbox abc broke off before it answered.",
}
WHEN = 1767323045.5


class Reader:
    """Of the log: reads nothing while it is told so."""

    def __init__(self) -> None:
        self.got = b""
        self.writes: list[int] = []
        self.reads = threading.Event()
        self.reads.set()

    def write(self, data: bytes) -> None:
        assert self.reads.wait(10)
        self.got += data
        self.writes.append(len(data))

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.got.splitlines()]


async def written(log: RequestLog, entries: list[Entry]) -> None:
    """Take them, and write them all."""
    writing = asyncio.create_task(log.run())
    for entry in entries:
        log.take(entry)
    log.stop()
    await writing


def dropped() -> float:
    return REGISTRY.get_sample_value("openhands_sandbox_gateway_access_log_dropped_total") or 0


def request_log(mode: AccessLogMode, reader: Reader) -> RequestLog:
    return RequestLog(mode, line_renderer("json"), reader.write)


def test_what_is_told_of_a_request() -> None:
    assert event(WHEN, ENTRY) == TOLD


def test_what_was_no_request_has_no_path_and_no_time() -> None:
    left_out = ("method", "path", "seconds", "added_seconds", "runtime_id", "trace_id", "detail")
    nothing = replace(
        ENTRY, method=None, target=b"", status=400, added_seconds=0.0, runtime_id=None, trace=None, detail=""
    )
    assert event(WHEN, nothing) == {key: TOLD[key] for key in TOLD if key not in left_out} | {"status": 400}


def test_a_close_code_is_told() -> None:
    assert event(WHEN, replace(ENTRY, status=101, close_code=1008))["close_code"] == 1008


def test_lines_for_people() -> None:
    line = line_renderer("console")(event(WHEN, ENTRY)).decode()
    assert line.endswith("\n")
    assert line.count("\n") == 1
    assert "/api/conversations/{}/events/search" in line
    assert "secret" not in line


@pytest.mark.parametrize(("mode", "count"), [("none", 0), ("failures", 100), ("all", 130)])
async def test_failures_are_bounded_in_a_second(
    mode: AccessLogMode, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access_log.time, "time", lambda: WHEN)
    reader, before = Reader(), dropped()
    await written(request_log(mode, reader), [replace(ENTRY, received=number) for number in range(130)])
    assert [line["received_bytes"] for line in reader.lines] == list(range(count))
    assert dropped() - before == (0 if mode == "none" else 130 - count)
    assert all(size <= 4096 for size in reader.writes)


async def test_the_next_second_has_room_again(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, now = Reader(), WHEN
    monkeypatch.setattr(access_log.time, "time", lambda: now)
    log = request_log("failures", reader)
    for _ in range(130):
        log.take(ENTRY)
    now += 1
    await written(log, [ENTRY])
    assert len(reader.lines) == 101


async def test_a_reader_who_is_slow_keeps_nobody() -> None:
    reader, before = Reader(), dropped()
    reader.reads.clear()
    log = request_log("all", reader)
    writing = asyncio.create_task(log.run())
    for _ in range(10_100):
        log.take(ENTRY)
    assert dropped() - before == 100
    await asyncio.sleep(0.3)  # a batch is with the reader
    for _ in range(50):
        log.take(ENTRY)
    assert not reader.got
    reader.reads.set()
    log.stop()
    await writing
    assert len(reader.lines) == 10_050


async def test_a_reader_who_has_gone_is_survived() -> None:
    def broken(data: bytes) -> None:
        raise BrokenPipeError(data)

    before = dropped()
    await written(RequestLog("all", line_renderer("json"), broken), [ENTRY] * 3)
    assert dropped() - before == 3


async def test_it_writes_while_it_goes_on() -> None:
    reader = Reader()
    log = request_log("all", reader)
    writing = asyncio.create_task(log.run())
    for count in (1, 2):
        log.take(ENTRY)
        async with asyncio.timeout(5):
            while len(reader.lines) < count:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    log.stop()
    await writing


class KeptSpans:
    """Implements `access_log.Spans`."""

    def __init__(self) -> None:
        self.taken: list[tuple[float, Entry]] = []

    def new(self) -> str:
        return "1111111111111111"

    def take(self, when: float, entry: Entry) -> None:
        self.taken.append((when, entry))


@pytest.mark.parametrize("mode", ["none", "failures", "all"])
def test_a_span_is_made_of_each_request_that_has_its_id(mode: AccessLogMode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_log.time, "time", lambda: WHEN)
    spans = KeptSpans()
    log = RequestLog(mode, line_renderer("json"), Reader().write, spans)
    assert ENTRY.trace
    traced = replace(ENTRY, trace=replace(ENTRY.trace, span_id=log.new_span()))
    for entry in (ENTRY, traced, replace(ENTRY, trace=None)):
        log.take(entry)
    assert spans.taken == [(WHEN, traced)]


def test_without_spans_there_is_no_id() -> None:
    assert request_log("all", Reader()).new_span() == ""
