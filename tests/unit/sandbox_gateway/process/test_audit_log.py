"""The writer of the audit log: lines in order, answers that wait for them, and what a bad reader costs."""

import asyncio
import threading
from collections.abc import Iterator

import pytest
from prometheus_client import REGISTRY

from sandbox_gateway.process.audit_log import QUEUE, AuditLog

PREFIX = "openhands_sandbox_gateway_audit_"


class Reader:
    """Of the log: reads nothing until `reads` is set."""

    def __init__(self) -> None:
        self.got = b""
        self.reads = threading.Event()

    def write(self, data: bytes) -> None:
        assert self.reads.wait(10)
        assert len(data) <= 4096
        self.got += data


@pytest.fixture
def slow() -> Iterator[Reader]:
    """One that reads nothing; at the end it reads, so that no thread is left."""
    reader = Reader()
    yield reader
    reader.reads.set()


@pytest.fixture
def quick(slow: Reader) -> Reader:
    slow.reads.set()
    return slow


def counted(name: str) -> float:
    return REGISTRY.get_sample_value(PREFIX + name) or 0


def line(number: int) -> bytes:
    return b"line %d\n" % number


async def test_a_line_is_written_when_its_caller_goes_on(quick: Reader) -> None:
    log, waits = AuditLog(quick.write), counted("wait_seconds_count")
    for number in range(3):
        await log.write(line(number))
        assert quick.got.endswith(line(number))
    assert counted("wait_seconds_count") - waits == 3


async def test_a_line_that_can_be_written_at_once_needs_no_thread_and_order_is_kept(slow: Reader) -> None:
    got: list[bytes] = []
    has_room = True

    def write_now(data: bytes) -> bool:
        if has_room:
            got.append(data)
        return has_room

    def write(data: bytes) -> None:
        slow.write(data)
        got.append(data)

    log, waits = AuditLog(write, write_now), counted("wait_seconds_count")
    await log.write(line(0))
    assert got == [line(0)]
    has_room = False
    waiting = asyncio.create_task(log.write(line(1)))
    await asyncio.sleep(0.05)
    has_room = True
    # It must not overtake the one before it.
    also = asyncio.create_task(log.write(line(2)))
    await asyncio.sleep(0.05)
    assert got == [line(0)]
    slow.reads.set()
    await asyncio.gather(waiting, also)
    await log.write(line(3))
    assert b"".join(got) == b"".join(map(line, range(4)))
    assert counted("wait_seconds_count") - waits == 4


async def test_lines_of_many_are_in_the_order_in_which_they_came(quick: Reader) -> None:
    log = AuditLog(quick.write)
    await asyncio.gather(*(log.write(line(number)) for number in range(2000)))
    assert quick.got == b"".join(map(line, range(2000)))


async def test_a_slow_reader_keeps_an_answer_for_a_while_and_that_is_counted(slow: Reader) -> None:
    log = AuditLog(slow.write, patience_seconds=0.05)
    late, lost, seconds = counted("lines_late_total"), counted("lines_lost_total"), counted("wait_seconds_sum")
    await asyncio.gather(log.write(line(0)), log.write(line(1)))
    assert counted("lines_late_total") - late == 2
    assert counted("wait_seconds_sum") - seconds >= 0.1
    slow.reads.set()
    await log.drain()
    assert slow.got == line(0) + line(1)
    assert counted("lines_lost_total") == lost


async def test_the_process_goes_on_while_nobody_reads(slow: Reader) -> None:
    log = AuditLog(slow.write)
    waiting = asyncio.create_task(log.write(line(0)))
    for _ in range(100):
        await asyncio.sleep(0)
    assert not waiting.done()
    slow.reads.set()
    await waiting


async def test_a_line_for_which_there_is_no_room_is_lost_and_counted_and_keeps_nobody(slow: Reader) -> None:
    log, lost = AuditLog(slow.write), counted("lines_lost_total")
    for number in range(QUEUE):
        assert log.put(line(number))
    async with asyncio.timeout(0.5):
        await log.write(line(QUEUE))
    assert counted("lines_lost_total") - lost == 1
    slow.reads.set()
    await log.drain()
    assert slow.got == b"".join(map(line, range(QUEUE)))


async def test_what_is_only_offered_leaves_room_and_is_not_counted_as_lost(slow: Reader) -> None:
    log, lost = AuditLog(slow.write), counted("lines_lost_total")
    offered = [log.offer(line(number), 3) for number in range(5)]
    assert [each is not None for each in offered] == [True, True, True, False, False]
    assert log.put(line(5))
    slow.reads.set()
    await log.drain()
    assert slow.got == b"".join(map(line, (0, 1, 2, 5)))
    assert counted("lines_lost_total") == lost


async def test_lines_that_cannot_be_written_are_counted_and_later_ones_are_written(quick: Reader) -> None:
    failures = [BrokenPipeError("no reader"), OSError("disk full")]

    def write(data: bytes) -> None:
        if failures:
            raise failures.pop()
        quick.write(data)

    log, lost = AuditLog(write), counted("lines_lost_total")
    for number in range(3):
        await log.write(line(number))
    assert quick.got == line(2)
    assert counted("lines_lost_total") - lost == 2


async def test_all_lines_of_a_write_that_fails_are_counted() -> None:
    def write(data: bytes) -> None:
        raise BrokenPipeError(data)

    log, lost = AuditLog(write), counted("lines_lost_total")
    await asyncio.gather(*(log.write(line(number)) for number in range(1000)))
    assert counted("lines_lost_total") - lost == 1000
