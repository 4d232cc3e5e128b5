"""Whatever happens in whatever order: each request is answered exactly once, and nothing is left behind."""

import asyncio
from dataclasses import dataclass
from typing import Any

import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

import sampling
from sandbox_gateway.proxy.directory import Endpoint, NoSandbox
from sandbox_gateway.proxy.places import Places
from unit.sandbox_gateway.proxy.asleep import AWAKE, Asleep, settle
from unit.sandbox_gateway.proxy.memory import MemoryTransport
from unit.sandbox_gateway.proxy.support import IDLE, KEY, OK, PAUSED, POST, REQUEST

WHOLE_POST = POST + b"Content-Length: 4\r\n\r\nbody"
HALF_POST = WHOLE_POST[:-2]
CLIENTS = 4


@dataclass(frozen=True)
class Send:
    number: int
    data: bytes


@dataclass(frozen=True)
class Leave:
    number: int
    at_once: bool


@dataclass(frozen=True)
class Become:
    endpoint: Endpoint | NoSandbox
    told: bool


type Step = Send | Leave | Become | str

numbers = st.integers(0, CLIENTS - 1)
STEPS: st.SearchStrategy[list[Step]] = st.lists(
    st.one_of(
        st.builds(Send, numbers, st.sampled_from([REQUEST, REQUEST * 2, WHOLE_POST, HALF_POST])),
        st.builds(Leave, numbers, st.booleans()),
        st.builds(
            Become, st.sampled_from([AWAKE, IDLE, IDLE, PAUSED, NoSandbox.UNKNOWN, NoSandbox.GONE]), st.booleans()
        ),
        st.sampled_from(["answer", "cut", "fail", "drain"]),
    ),
    max_size=25,
)


class Peer:
    """One client: what it has sent, and whether it stays."""

    def __init__(self, transport: MemoryTransport) -> None:
        self.transport = transport
        self.sent = 0
        self.half = False
        self.stays = True

    @property
    def can_send(self) -> bool:
        return self.stays and not self.transport.closed and not self.transport.sent_eof

    def send(self, data: bytes) -> None:
        if self.half:
            self.transport.deliver(WHOLE_POST[-2:])
            self.half = False
        else:
            self.half = data == HALF_POST
            self.sent += data.count(b"/a")
            self.transport.deliver(data)

    def leave(self, *, at_once: bool) -> None:
        self.stays = False
        if at_once:
            self.transport.lose()
        elif not self.transport.closed:
            self.transport.end()

    def assert_answered(self) -> None:
        """Once each; a connection that the gateway has ended says so in its last answer."""
        answers = self.transport.written.count(b"HTTP/1.1 ")
        assert answers <= self.sent
        if self.transport.sent_eof:
            last = self.transport.written[self.transport.written.rindex(b"HTTP/1.1 ") :] if answers else b""
            assert not answers or b"Connection: close\r\n" in last
        elif self.stays and not self.transport.closed:
            assert answers == self.sent


def complete(upstream: MemoryTransport) -> int:
    return upstream.written.count(b"GET ") + upstream.written.count(b"\r\n\r\nbody")


async def perform(steps: list[Step]) -> None:
    failures: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: failures.append(context))
    asleep = Asleep(places=Places(per_sandbox=3, max_bytes=400))
    peers = [Peer((await asleep.client(b"")).transport) for _ in range(CLIENTS)]
    answered: dict[MemoryTransport, int] = {}

    async def answer() -> None:
        for _, upstream in asleep.clients[0].pool.opened:
            asked = complete(upstream)
            for _ in range(asked - answered.get(upstream, 0)):
                upstream.deliver(OK)
            answered[upstream] = asked
        await settle()

    async def become(endpoint: Endpoint | NoSandbox, *, told: bool) -> None:
        asleep.directory.by_key[KEY] = endpoint
        if told:
            asleep.let_go()
        await settle()

    for step in steps:
        match step:
            case Send(number, data):
                if peers[number].can_send:
                    peers[number].send(data)
            case Leave(number, at_once):
                peers[number].leave(at_once=at_once)
            case Become(endpoint, told):
                await become(endpoint, told=told)
            case "answer":
                await answer()
            case "cut":
                asleep.context.flights.cut("abc")
            case "fail":
                for _, upstream in asleep.clients[0].pool.opened:
                    upstream.lose()
            case _:  # "drain"
                asleep.context.draining = True
                for client in list(asleep.context.clients):
                    client.drain()
        await settle()
    for peer in peers:
        if peer.half and peer.can_send:
            peer.send(b"")
    await settle()
    await become(AWAKE, told=True)
    for _ in range(30):
        await answer()
    for peer in peers:
        peer.assert_answered()
    await asleep.close()
    assert not failures


@settings(max_examples=sampling.count(130, 400))
@given(STEPS)
def test_exactly_one_answer_each(steps: list[Step]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(perform(steps))
