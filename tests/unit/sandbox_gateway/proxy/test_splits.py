"""Every exchange of the table with both sides cut anywhere, and readers that pause in between, in any order."""

import asyncio
from itertools import pairwise

import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

import sampling
from unit.sandbox_gateway.proxy.exchanges import EXCHANGES, Exchange
from unit.sandbox_gateway.proxy.memory import MemoryClient, MemoryTransport


class Player:
    """Plays an exchange: the next piece of either side, or a pause, as it is told."""

    def __init__(self, exchange: Exchange, cuts: list[int]) -> None:
        self.client = MemoryClient()
        self._cuts = cuts
        self._sent = self._pieces(exchange.sent)
        self._steps = list(exchange.steps)
        self._expected = b""
        self._answer: list[bytes] = []
        self._blocked: set[MemoryTransport] = set()

    def _pieces(self, data: bytes) -> list[bytes]:
        places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in self._cuts)})
        return [data[a:b] for a, b in pairwise(places)]

    def send(self) -> bool:
        if not self._sent:
            return False
        self.client.transport.deliver(self._sent.pop(0))
        return True

    def answer(self) -> bool:
        pool = self.client.pool
        if not self._answer and self._steps and pool.written() == self._expected + self._steps[0][0]:
            forwarded, answer = self._steps.pop(0)
            self._expected += forwarded
            self._answer = self._pieces(answer)
        if not self._answer:
            return False
        pool.opened[-1][1].deliver(self._answer.pop(0))
        return True

    def pause_or_go_on(self, transport: MemoryTransport) -> None:
        if transport in self._blocked:
            self._blocked.remove(transport)
            transport.unblock_writes()
        elif not transport.closed:
            self._blocked.add(transport)
            transport.block_writes()

    def all_go_on(self) -> bool:
        paused = list(self._blocked)
        for transport in paused:
            self.pause_or_go_on(transport)
        return bool(paused)


async def play(exchange: Exchange, cuts: list[int], choices: list[int]) -> tuple[bytes, bytes]:
    player = Player(exchange, cuts)
    client = player.client
    for choice in choices:
        if choice == 0:
            player.send()
        elif choice == 1:
            player.answer()
        elif choice == 2:
            player.pause_or_go_on(client.transport)
        elif client.pool.opened:
            player.pause_or_go_on(client.pool.opened[-1][1])
        await client.settle()
    while player.all_go_on() | player.send() | player.answer():
        await client.settle()
    if exchange.upstream_closes:
        client.pool.opened[-1][1].lose()
        await client.settle()
    got = client.pool.written(), client.transport.written
    await client.close()
    assert not client.context.clients
    assert all(upstream.closed for _, upstream in client.pool.opened)
    return got


@settings(max_examples=sampling.count(130, 400))
@given(
    st.sampled_from(sorted(EXCHANGES)),
    st.lists(st.integers(0, 600), max_size=12),
    st.lists(st.integers(0, 3), max_size=40),
)
def test_cuts_and_pauses_change_nothing(name: str, cuts: list[int], choices: list[int]) -> None:
    exchange = EXCHANGES[name]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        got = runner.run(play(exchange, cuts, choices))
    assert got == (b"".join(forwarded for forwarded, _ in exchange.steps), exchange.received)
