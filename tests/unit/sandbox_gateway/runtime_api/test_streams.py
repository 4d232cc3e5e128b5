"""What begins and ends an answer that lasts."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import replace
from typing import Any

import pytest
from fastapi import FastAPI, Request
from starlette.types import Message

from sandbox_common.api_keys import Policy
from sandbox_gateway.runtime_api import streams as module
from sandbox_gateway.runtime_api.errors import add_error_handlers
from sandbox_gateway.runtime_api.gate import Gate
from sandbox_gateway.runtime_api.streams import EVENTS, Stream, Streams
from unit.sandbox_gateway.support import FixedApiKeys

PATIENCE = 20


class Long(Stream):
    content_type = "text/plain"
    bounds = replace(EVENTS, total=3, each=2)


class Call:
    """One call of an application that streams what `pieces` gives."""

    def __init__(self, app: FastAPI) -> None:
        self.sent: list[Message] = []
        self.gone = asyncio.Event()
        self.has_begun = asyncio.Event()
        self.reads = asyncio.Event()
        self.reads.set()
        scope: dict[str, Any] = {
            "type": "http",
            "method": "GET",
            "path": "/long",
            "raw_path": b"/long",
            "query_string": b"",
            "headers": [(b"x-api-key", b"good")],
        }
        self.running = asyncio.create_task(app(scope, self._receive, self._send))
        self._requested = False

    async def _receive(self) -> Message:
        if not self._requested:
            self._requested = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        await self.reads.wait()
        self.sent.append(message)
        if message.get("body"):
            self.has_begun.set()

    @property
    def status(self) -> int:
        return self.sent[0]["status"]

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)

    async def begin(self) -> "Call":
        await asyncio.wait_for(self.has_begun.wait(), PATIENCE)
        return self

    async def end(self) -> bool:
        """Wait for its end. Whether it was a regular one."""
        await asyncio.wait_for(self.running, PATIENCE)
        return self.sent[-1].get("more_body") is False


class House:
    """An application with one stream, whose pieces the test gives."""

    def __init__(self) -> None:
        self.streams = Streams()
        self.pieces: Callable[[], AsyncGenerator[bytes]] = self.for_ever
        self.closed = 0
        self.app = FastAPI()
        self.app.add_middleware(Gate, api_keys=FixedApiKeys(), requests_per_minute=0)  # pyright: ignore[reportArgumentType]
        add_error_handlers(self.app)

        @self.app.get("/long")
        async def long(request: Request) -> Long:  # pyright: ignore[reportUnusedFunction]
            return Long(self.streams, request, "alice", self.pieces())

    async def for_ever(self) -> AsyncGenerator[bytes]:
        try:
            yield b"first"
            await asyncio.Event().wait()
        finally:
            self.closed += 1

    def call(self) -> Call:
        return Call(self.app)


@pytest.fixture
async def house(monkeypatch: pytest.MonkeyPatch) -> House:
    monkeypatch.setattr(module, "_LOOK_SECONDS", 0.01)
    return House()


async def test_it_ends_with_its_pieces(house: House) -> None:
    async def pieces() -> AsyncGenerator[bytes]:
        yield b"one "
        yield b"two"

    house.pieces = pieces
    call = house.call()
    assert await call.end()
    assert (call.status, call.body) == (200, b"one two")
    headers = dict(call.sent[0]["headers"])
    assert (headers[b"content-type"], headers[b"cache-control"]) == (b"text/plain; charset=utf-8", b"no-store")
    assert b"content-length" not in headers


async def test_it_ends_with_its_client(house: House) -> None:
    call = await house.call().begin()
    call.gone.set()
    await call.end()
    assert house.closed == 1


@pytest.mark.parametrize("policy", [None, Policy(admin=True)])
async def test_it_ends_with_its_key_and_with_what_the_key_allowed(
    house: House, monkeypatch: pytest.MonkeyPatch, policy: Policy | None
) -> None:
    call = await house.call().begin()
    if policy is None:

        def find_none(*_: object) -> None:
            return None

        monkeypatch.setattr(FixedApiKeys, "find", find_none)
    else:
        monkeypatch.setattr(FixedApiKeys, "policy", policy)
    assert await call.end()
    assert house.closed == 1


async def test_it_ends_with_the_process_and_none_begins_then(house: House) -> None:
    call = await house.call().begin()
    house.streams.release()
    assert await call.end()
    late = house.call()
    await late.end()
    assert (late.status, dict(late.sent[0]["headers"])[b"retry-after"]) == (503, b"1")


async def test_it_ends_after_its_time(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Long, "bounds", replace(Long.bounds, seconds=0.05))
    call = await house.call().begin()
    assert await call.end()
    assert (call.status, call.body) == (200, b"first")


async def test_a_client_that_does_not_read_does_not_keep_it(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LAST_SECONDS", 0.05)

    async def many() -> AsyncGenerator[bytes]:
        while True:
            yield b"piece"

    house.pieces = many
    call = await house.call().begin()
    call.reads.clear()
    house.streams.release()
    assert not await call.end()


async def test_an_owner_has_so_many_and_gets_the_place_of_one_that_has_ended(house: House) -> None:
    first, _ = [await house.call().begin() for _ in range(2)]
    refused = house.call()
    await refused.end()
    assert refused.status == 429
    assert b"Owner alice has 2 streams" in refused.body
    assert dict(refused.sent[0]["headers"])[b"retry-after"] == b"5"
    first.gone.set()
    await first.end()
    again = await house.call().begin()
    assert again.status == 200
    house.streams.release()


async def test_all_owners_together_have_so_many(house: House) -> None:
    bounds, one_of = Long.bounds, house.streams.one_of
    with one_of(bounds, "bob"), one_of(bounds, "bob"), one_of(bounds, "carol"):
        refused = house.call()
        await refused.end()
        assert refused.status == 429
        assert b"This gateway has 3 streams" in refused.body
        # Another kind has places of its own.
        with one_of(replace(bounds, kind="other"), "alice"):
            pass
    assert (await house.call().begin()).status == 200
    house.streams.release()


async def test_what_fails_before_the_first_piece_is_a_refusal(house: House) -> None:
    async def refused() -> AsyncGenerator[bytes]:
        raise TimeoutError
        yield b""

    house.pieces = refused
    for _ in range(3):
        call = house.call()
        await call.end()
        assert call.status == 503


async def test_a_stream_leaves_turns_to_other_owners(house: House) -> None:
    async def many() -> AsyncGenerator[bytes]:
        for _ in range(50):
            yield b"piece"

    house.pieces = many
    call = house.call()
    rounds = 0
    while not call.running.done():
        rounds += 1
        await asyncio.sleep(0)
    assert rounds >= 50
