"""Owners' turns in the rounds of an event loop, and what connections do that wait for one."""

from collections.abc import Callable, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_gateway.proxy.directory import Endpoint
from sandbox_gateway.proxy.turns import Turns
from unit.sandbox_gateway.proxy.memory import MemoryClient, memory_context
from unit.sandbox_gateway.proxy.support import ADDRESS, KEY, OK, POST, REQUEST, SWITCHED, UPGRADE, MemoryDirectory


class Loop:
    """What is due in the next round."""

    def __init__(self) -> None:
        self.due: list[Callable[[], None]] = []

    def soon(self, go: Callable[[], None]) -> None:
        self.due.append(go)

    def round(self) -> None:
        due, self.due = self.due, []
        for go in due:
            go()


class Work:
    """Things of owners, which are done in turns."""

    def __init__(self, each: int) -> None:
        self.loop = Loop()
        self.turns = Turns(each, self.loop.soon)
        self.done: list[tuple[str, int]] = []

    def add(self, owner: str, number: int) -> None:
        """One more thing, which is done now or when the owner has a turn."""
        if self.turns.take(owner):
            self.done.append((owner, number))
        else:
            self.turns.wait(owner, lambda: self.done.append((owner, number)))

    def round(self, new: Iterable[tuple[str, int]] = ()) -> list[tuple[str, int]]:
        """What is done in the next round, in which these things come up."""
        before = len(self.done)
        self.loop.round()
        for one in new:
            self.add(*one)
        return self.done[before:]


@given(
    st.integers(1, 4),
    st.lists(st.lists(st.sampled_from("abc"), max_size=12), max_size=12),
)
def test_nobody_has_more_than_the_turns_of_a_round_and_all_is_done_in_order(each: int, rounds: list[list[str]]) -> None:
    work, asked, number = Work(each), list[tuple[str, int]](), 0
    while number < len(asked) or rounds:
        new = [(owner, len(asked) + index) for index, owner in enumerate(rounds.pop(0) if rounds else [])]
        asked += new
        waiting = {owner: sum(1 for one in asked if one[0] == owner and one not in work.done) for owner in "abc"}
        done = work.round(new)
        for owner in "abc":
            # As many as there can be, whatever the others have waiting.
            assert sum(one[0] == owner for one in done) == min(each, waiting[owner])
        number += len(done)
    for owner in "abc":
        own = [one for one in asked if one[0] == owner]
        assert [one for one in work.done if one[0] == owner] == own
    work.round()
    work.round()
    assert not work.loop.due, "nothing is called for nothing"


def test_who_has_little_goes_on_in_every_round() -> None:
    work = Work(2)
    for number in range(1000):
        work.add("greedy", number)
    for number in range(10):
        assert ("modest", number) in work.round([("modest", number)])


@pytest.fixture
async def loop() -> Loop:
    return Loop()


def waiting_client(loop: Loop) -> MemoryClient:
    """A connection whose owner has had its turns in this round."""
    context = memory_context()
    context.turns = Turns(1, loop.soon)
    assert context.turns.take("")
    assert context.turns.take("127.0.0.1")
    return MemoryClient(context)


async def test_a_request_begins_in_a_turn_of_its_owner(loop: Loop) -> None:
    client = waiting_client(loop)
    client.transport.deliver(REQUEST + REQUEST)
    await client.settle()
    assert not client.pool.opened
    loop.round()
    await client.settle()
    assert client.pool.written().count(b"GET /a ") == 1
    client.pool.opened[0][1].deliver(OK)
    await client.settle()
    assert client.transport.written.endswith(OK[-2:])
    loop.round()
    await client.settle()
    client.pool.opened[0][1].deliver(OK)
    await client.settle()
    assert client.transport.written.count(b"200 OK") == 2
    assert [entry.status for entry in client.entries] == [200, 200]
    await client.close()


async def test_a_refusal_takes_a_turn_of_its_address(loop: Loop) -> None:
    client = waiting_client(loop)
    client.transport.deliver(b"GET /a HTTP/1.1\r\nHost: gw\r\n\r\n")
    assert not client.transport.written
    loop.round()
    assert client.transport.written.startswith(b"HTTP/1.1 401")
    await client.close()


async def test_a_client_that_leaves_before_its_turn_is_counted_and_nothing_begins(loop: Loop) -> None:
    client = waiting_client(loop)
    client.transport.deliver(REQUEST)
    client.transport.end()
    await client.settle()
    assert client.transport.closed
    loop.round()
    await client.settle()
    assert not client.pool.opened
    assert [entry.status for entry in client.entries] == [0]
    await client.close()


async def test_a_request_that_waits_for_its_turn_is_served_while_the_gateway_drains(loop: Loop) -> None:
    client = waiting_client(loop)
    client.transport.deliver(REQUEST)
    client.context.draining = True
    for one in list(client.context.clients):
        one.drain()
    loop.round()
    await client.settle()
    client.pool.opened[0][1].deliver(OK)
    await client.settle()
    assert b"200 OK" in client.transport.written
    assert b"connection: close" in client.transport.written.lower()
    await client.close()


async def test_a_body_goes_on_in_turns(loop: Loop) -> None:
    client = waiting_client(loop)
    client.transport.deliver(POST + b"Content-Length: 6\r\n\r\n")
    loop.round()
    await client.settle()
    for part in (b"ab", b"cd", b"ef"):
        client.transport.deliver(part)
    await client.settle()
    seen: list[bytes] = []
    for _ in range(6):
        loop.round()
        await client.settle()
        seen.append(client.pool.written().partition(b"\r\n\r\n")[2])
    assert seen[-1] == b"abcdef"
    assert seen[0] != b"abcdef", "not all of it in one round"
    await client.close()


async def test_an_answer_is_read_on_in_turns(loop: Loop) -> None:
    client = waiting_client(loop)
    client.transport.deliver(REQUEST)
    loop.round()
    await client.settle()
    upstream = client.pool.opened[0][1]
    upstream.deliver(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n")
    for part in (b"ab", b"cd", b"ef"):
        upstream.deliver(part)
    await client.settle()
    assert not client.transport.written.endswith(b"abcdef")
    for _ in range(6):
        loop.round()
        await client.settle()
    assert client.transport.written.endswith(b"abcdef")
    assert upstream.is_reading()
    await client.close()


@pytest.mark.parametrize("from_client", [True, False])
async def test_a_websocket_is_read_on_in_turns(loop: Loop, from_client: bool) -> None:
    client = waiting_client(loop)
    client.transport.deliver(UPGRADE)
    loop.round()
    await client.settle()
    upstream = client.pool.opened[0][1]
    upstream.deliver(SWITCHED)
    await client.settle()
    here, there = (client.transport, upstream) if from_client else (upstream, client.transport)
    there.written = b""
    for _ in range(3):
        here.deliver(b"\x82\x01x")
    await client.settle()
    assert there.written.count(b"x") < 3
    assert not here.is_reading()
    there.block_writes()
    for _ in range(6):
        loop.round()
        await client.settle()
    assert not here.is_reading(), "the other side takes nothing"
    there.unblock_writes()
    for _ in range(6):
        await client.settle()
        loop.round()
    assert there.written.count(b"x") == 3
    await client.close()


async def test_owners_do_not_wait_for_each_other(loop: Loop) -> None:
    client = waiting_client(loop)
    client.transport.deliver(REQUEST)
    directory = client.context.directory
    assert isinstance(directory, MemoryDirectory)
    directory.by_key[KEY] = Endpoint("abc", ADDRESS, owner="another")
    other = MemoryClient(client.context)
    other.transport.deliver(REQUEST)
    await other.settle()
    assert client.pool.written().count(b"GET /a ") == 1
    await client.close()
    await other.close()


def test_one_that_goes_wrong_keeps_no_other_from_its_turn() -> None:
    work = Work(1)

    def fail() -> None:
        raise RuntimeError("wrong")

    for owner in ("first", "second"):
        work.add(owner, 0)
    work.turns.wait("first", fail)
    work.add("second", 1)
    assert ("second", 1) in work.round()
    work.add("first", 1)
    assert ("first", 1) in work.round([("first", 2)])


async def test_a_request_that_cannot_begin_in_its_turn_ends_with_its_connection(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = waiting_client(loop)
    client.transport.deliver(REQUEST)
    directory = client.context.directory

    def fail(_: str) -> Endpoint:
        raise RuntimeError("wrong")

    monkeypatch.setattr(directory, "find_by_session_key", fail)
    loop.round()
    await client.settle()
    assert client.transport.closed
    await client.close()
