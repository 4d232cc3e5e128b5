"""Requests that take as long as they like."""

import asyncio

import pytest

from sandbox_operator.agents import background
from sandbox_operator.agents.background import BackgroundRequests


class Server:
    """Answers with `answer` once it may `go_on`; `answers` has what has come of each request."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.answer: int | Exception = 1
        self.asked = 0
        self.answers: list[int | None] = []

    async def ask(self) -> int:
        self.asked += 1
        await self.go_on.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def until(self, count: int) -> None:
        self.go_on.set()
        async with asyncio.timeout(5):
            while len(self.answers) < count:  # noqa: ASYNC110
                await asyncio.sleep(0)


@pytest.fixture
async def server() -> Server:
    return Server()


async def test_each_key_is_asked_once_at_a_time(server: Server) -> None:
    requests = BackgroundRequests()
    assert all(requests.begin(key, server.ask, server.answers.append) for key in ("a", "a", "b"))
    await server.until(2)
    assert (server.asked, server.answers) == (2, [1, 1])
    assert requests.begin("a", server.ask, server.answers.append)
    await server.until(3)
    assert server.asked == 3


async def test_what_goes_wrong_is_over_too(server: Server) -> None:
    server.answer = RuntimeError("unforeseen")
    assert BackgroundRequests().begin("a", server.ask, server.answers.append)
    await server.until(1)
    assert server.answers == [None]


async def test_only_so_many_at_once(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "AT_ONCE", 1)
    requests = BackgroundRequests()
    assert requests.begin("a", server.ask, server.answers.append)
    assert not requests.begin("b", server.ask, server.answers.append)
    await server.until(1)
    assert requests.begin("b", server.ask, server.answers.append)
    await server.until(2)
