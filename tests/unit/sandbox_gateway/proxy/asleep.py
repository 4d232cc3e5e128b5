"""A gateway in memory whose sandbox is idle, or not known yet."""

import asyncio
import math

import orjson

from sandbox_gateway.proxy.context import Bounds, Context
from sandbox_gateway.proxy.directory import Endpoint, NoSandbox
from sandbox_gateway.proxy.places import Places
from unit.sandbox_gateway.proxy.memory import MemoryClient, memory_context
from unit.sandbox_gateway.proxy.support import (
    ADDRESS,
    IDLE,
    KEY,
    OK,
    REQUEST,
    CountingActivity,
    MemoryDirectory,
    ScriptedWaker,
)

AWAKE = Endpoint("abc", ADDRESS)


class Asleep:
    """A gateway whose sandbox is idle, and the clients of it."""

    def __init__(
        self,
        *,
        seconds: float = math.inf,
        places: Places | None = None,
        endpoint: Endpoint | NoSandbox = IDLE,
        base_domain: str = "",
    ) -> None:
        self.directory = MemoryDirectory()
        self.directory.by_key[KEY] = endpoint
        if isinstance(endpoint, Endpoint):
            self.directory.put(KEY, endpoint)
        self.waker = ScriptedWaker()
        self.places = places or Places()
        bounds = Bounds(wake_hold_seconds=seconds)
        self.context: Context = memory_context(
            directory=self.directory, waker=self.waker, places=self.places, bounds=bounds, base_domain=base_domain
        )
        self.clients: list[MemoryClient] = []

    async def client(self, sent: bytes = REQUEST) -> MemoryClient:
        """A connection that has sent this."""
        client = MemoryClient(self.context)
        self.clients.append(client)
        client.transport.deliver(sent)
        await client.settle()
        return client

    async def wake(self, endpoint: Endpoint | NoSandbox = AWAKE) -> None:
        """Waiting is over; this is how the sandbox is now."""
        self.directory.by_key[KEY] = endpoint
        if isinstance(endpoint, Endpoint):
            self.directory.put(KEY, endpoint)
        self.let_go()
        await settle()

    def let_go(self) -> None:
        """Waiting is over."""
        self.waker.let_go()
        self.directory.news.let_go()

    async def answer(self) -> None:
        """Every upstream connection answers what it has got."""
        for client in self.clients[:1]:
            for _, upstream in client.pool.opened:
                upstream.deliver(OK)
        await settle()

    async def close(self) -> None:
        """All clients leave; nothing stays."""
        for client in self.clients:
            await client.close()
        assert self.places.free
        activity = self.context.activity
        assert isinstance(activity, CountingActivity)
        assert not activity.in_flight.total()
        assert not self.waker.waiting.total()
        assert not self.directory.news.waiting.total()
        assert not self.context.clients


async def settle() -> None:
    for _ in range(12):
        await asyncio.sleep(0)


def assert_refused(written: bytes, status: int, words: str, *, retry: bool) -> None:
    head, _, body = written.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0].startswith(b"HTTP/1.1 %d " % status), written
    assert any(line.startswith(b"Retry-After: ") for line in lines) is retry
    assert words in orjson.loads(body)["detail"]
