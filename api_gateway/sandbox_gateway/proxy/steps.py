"""A call that yields to the calls of other owners at each of its steps. A step ends where the call awaits something."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Generator, Iterable
from typing import Any

from sandbox_gateway.proxy.turns import Turns

_AT_ONCE = 16
"""Items in one step; each takes some tens of microseconds."""


async def in_steps[T](things: Iterable[T]) -> AsyncGenerator[T]:
    """All items, a few in each step."""
    for number, thing in enumerate(things, 1):
        yield thing
        if not number % _AT_ONCE:
            await asyncio.sleep(0)


class Steps[T]:
    """Await it instead of the call. Each step of the call takes a turn of its owner."""

    def __init__(self, call: Awaitable[T], owner: str, turns: Turns) -> None:
        self._call = call
        self._owner = owner
        self._turns = turns

    def __await__(self) -> Generator[Any, Any, T]:
        steps = self._call.__await__()
        given: Any = None
        error: BaseException | None = None
        try:
            yield from self._turn()
        except BaseException:
            steps.close()
            raise
        while True:
            try:
                awaited = steps.send(given) if error is None else steps.throw(error)
            except StopIteration as end:
                return end.value
            given = error = None
            try:
                given = yield awaited
                yield from self._turn()
            except BaseException as raised:
                # The call itself handles it, at once.
                error = raised

    def _turn(self) -> Generator[Any, Any, None]:
        if self._turns.take(self._owner):
            return
        coming: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._turns.wait(self._owner, lambda: None if coming.done() else coming.set_result(None))
        yield from coming.__await__()
