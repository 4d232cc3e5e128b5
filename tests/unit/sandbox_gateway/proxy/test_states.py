"""The states of a client's connection and of an exchange: what happens follows their tables, and nothing else can."""

import asyncio
from collections.abc import Mapping
from itertools import product
from typing import Any, cast

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

import sampling
from sandbox_gateway.proxy import client, exchange
from sandbox_gateway.proxy.exchange import Asked, Connected, Connecting, Exchange, Resendable, Responding
from sandbox_gateway.proxy.framing import NO_BODY
from sandbox_gateway.proxy.held_request import HeldRequest
from sandbox_gateway.proxy.turns import Turns
from sandbox_gateway.proxy.upstream import UpstreamConnection
from unit.sandbox_gateway.proxy.asleep import AWAKE, Asleep
from unit.sandbox_gateway.proxy.memory import MemoryClient, MemoryTransport, asking, memory_context
from unit.sandbox_gateway.proxy.support import IDLE, KEY, OK, POST, REQUEST, SWITCHED, UPGRADE

type Table = Mapping[type, set[type]]

_BODY = b"Content-Length: 4\r\n\r\nbody"


def machine(client: MemoryClient) -> Any:
    """Whom the client's transport belongs to."""
    return cast(Any, client.transport)._protocol


def reachable(table: Table, start: type) -> set[type]:
    """In any number of transitions, none included."""
    found, todo = {start}, [start]
    while todo:
        new = table[todo.pop()] - found
        found |= new
        todo += new
    return found


def queued_client() -> MemoryClient:
    """Its request waits for a turn that does not come."""
    context = memory_context()
    context.turns = Turns(0, id)
    one = MemoryClient(context)
    one.transport.deliver(REQUEST)
    return one


async def sample(kind: type) -> Any:
    """A state of this kind."""
    if kind is Exchange:
        return machine(await asking())._state
    if kind is HeldRequest:
        return machine(await Asleep().client())._state
    if kind is Connecting:
        return Connecting(asyncio.get_running_loop().create_task(asyncio.sleep(0)))
    if kind is Responding:
        return Responding(UpstreamConnection("/nobody"), NO_BODY, True, True)
    if kind is client.Queued:
        return machine(queued_client())._state
    return kind(UpstreamConnection("/nobody")) if issubclass(kind, Connected) else kind()


async def assert_follows(owner: Any, table: Table, before: type, after: type) -> None:
    owner._state = was = await sample(before)
    then = await sample(after)
    if after in table[before]:
        owner._enter(then)
        assert owner._state is then
    else:
        with pytest.raises(RuntimeError, match=f"^{before.__name__} to {after.__name__}$"):
            owner._enter(then)
        assert owner._state is was


@pytest.mark.parametrize(("before", "after"), list(product(client.TRANSITIONS, repeat=2)))
async def test_a_connection_follows_its_table(before: type, after: type) -> None:
    await assert_follows(machine(MemoryClient()), client.TRANSITIONS, before, after)


@pytest.mark.parametrize(("before", "after"), list(product(exchange.TRANSITIONS, repeat=2)))
async def test_an_exchange_follows_its_table(before: type, after: type) -> None:
    await assert_follows(machine(await asking())._state, exchange.TRANSITIONS, before, after)


@pytest.mark.parametrize(
    ("table", "first", "last"),
    [(client.TRANSITIONS, client.Head, client.Over), (exchange.TRANSITIONS, exchange.New, exchange.Over)],
)
def test_all_states_are_reached_and_end(table: Table, first: type, last: type) -> None:
    assert reachable(table, first) == table.keys()
    assert all(last in reachable(table, each) for each in table)
    assert not table[last]


async def test_a_request_that_is_sent_again_passes_all_states() -> None:
    one = await asking(answered=OK)
    one.transport.deliver(REQUEST)
    under_way, (_, upstream) = machine(one)._state, one.pool.opened[0]
    assert isinstance(under_way._state, Resendable)
    upstream.lose()
    await asyncio.sleep(0)
    assert isinstance(under_way._state, Connecting)
    await one.settle()
    assert isinstance(under_way._state, Asked)
    one.pool.opened[1][1].deliver(OK[:-1])
    assert isinstance(under_way._state, Responding)
    one.pool.opened[1][1].deliver(OK[-1:])
    assert isinstance(under_way._state, exchange.Over)
    assert isinstance(machine(one)._state, client.Head)
    await one.close()


async def test_a_first_byte_says_that_the_request_has_come() -> None:
    one = await asking(answered=OK)
    one.transport.deliver(REQUEST)
    under_way, (_, upstream) = machine(one)._state, one.pool.opened[0]
    upstream.deliver(OK[:1])
    assert isinstance(under_way._state, Asked)
    upstream.lose()
    await one.settle()
    assert len(one.pool.opened) == 1
    assert isinstance(under_way._state, exchange.Over)
    await one.close()


async def test_a_request_that_waits_for_its_turn_leads_back_to_its_head() -> None:
    one = queued_client()
    assert isinstance(machine(one)._state, client.Queued)
    machine(one)._go_on()
    assert isinstance(machine(one)._state, Exchange)
    await one.close()


async def test_a_held_request_leads_back_to_its_head() -> None:
    asleep = Asleep()
    one = await asleep.client()
    owner = machine(one)
    assert isinstance(owner._state, HeldRequest)
    await asleep.wake()
    assert isinstance(owner._state, Exchange)
    one.transport.end()
    assert isinstance(owner._state, client.Over)
    await asleep.close()


class Watched:
    """A client of a gateway, and the states it and its exchanges have been seen in."""

    def __init__(self, one: MemoryClient) -> None:
        self.one = one
        self._owner = machine(one)
        self._was: type = client.Head
        self._exchanges: dict[Exchange, type] = {}

    def look(self) -> None:
        """Each state follows from the one of before, and nothing is under way that the connection does not know of."""
        now = self._owner._state
        assert type(now) in reachable(client.TRANSITIONS, self._was)
        self._was = type(now)
        if isinstance(now, Exchange):
            self._exchanges.setdefault(now, exchange.New)
        for each, was in self._exchanges.items():
            state = cast(Any, each)._state
            assert type(state) in reachable(exchange.TRANSITIONS, was)
            assert (each is now) == (type(state) is not exchange.Over)
            if isinstance(state, Connected):
                assert state.upstream.sink is each
            self._exchanges[each] = type(state)
        if machine(self.one) is not self._owner:
            assert isinstance(now, client.Over)


_SENT = [REQUEST, REQUEST * 2, REQUEST[:9], POST + _BODY, POST + _BODY[:-2], UPGRADE, b"\0\r\n\r\n"]
_ANSWERED = [
    *(OK, OK[:9], OK[:-1], OK[-1:], SWITCHED, b"HTTP/1.1 200 OK\r\n\r\nx", b"\0\r\n\r\n"),
    b"HTTP/1.1 100 Continue\r\n\r\n",
]
_EVENTS = ("end", "lose", "upstream ends", "upstream loses", "cut", "idle", "awake", "drain", "block", "unblock")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.sampled_from(_SENT)),
        st.tuples(st.just("answer"), st.sampled_from(_ANSWERED)),
        st.tuples(st.sampled_from(_EVENTS), st.just(b"")),
    ),
    max_size=20,
)


async def happen(asleep: Asleep, one: MemoryClient, what: str, data: bytes) -> None:
    here: MemoryTransport = one.transport
    upstreams = [upstream for _, upstream in one.pool.opened if not upstream.closed]
    open_here = not here.closed and not here.sent_eof
    match what:
        case "send" if open_here and not here.peer_ended:
            here.deliver(data)
        case "end" if open_here and not here.peer_ended:
            here.end()
        case "lose":
            here.lose()
        case "block" if open_here:
            here.block_writes()
        case "unblock" if open_here:
            here.unblock_writes()
        case "answer" if upstreams and not upstreams[-1].peer_ended:
            upstreams[-1].deliver(data)
        case "upstream ends" if upstreams and not upstreams[-1].peer_ended:
            upstreams[-1].end()
        case "upstream loses" if upstreams:
            upstreams[-1].lose()
        case "cut":
            asleep.context.flights.cut("abc")
        case "idle":
            asleep.directory.by_key[KEY] = IDLE
        case "awake":
            asleep.directory.by_key[KEY] = AWAKE
            asleep.let_go()
        case "drain":
            asleep.context.draining = True
            for each in list(asleep.context.clients):
                each.drain()
        case _:
            pass


async def perform(steps: list[tuple[str, bytes]]) -> None:
    failures: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: failures.append(context))
    asleep = Asleep(endpoint=AWAKE)
    asleep.context.turns = Turns(1, asyncio.get_running_loop().call_soon)
    one = await asleep.client(b"")
    watched = Watched(one)
    for what, data in steps:
        await happen(asleep, one, what, data)
        watched.look()
        await one.settle()
        watched.look()
    await asleep.close()
    watched.look()
    assert not failures


@settings(max_examples=sampling.count(100, 300))
@given(STEPS)
def test_any_order_of_events_follows_the_tables(steps: list[tuple[str, bytes]]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(perform(steps))
