"""Clients of one session, and all else that may happen to it."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, Literal

from control_plane.races.arena import Arena
from control_plane.races.gateways import REPLICAS
from control_plane.races.history import NOT_LIVE, UNKNOWN, Alive, Call, Kind, State, Told
from control_plane.races.session import Session
from control_plane.races.settling import settle
from control_plane.waiting import eventually

SESSIONS = 3
_APART_SECONDS = (0.0, 0.0, 0.02, 0.3)
_AGAIN_SECONDS = 0.5

Incident = Literal["end of life", "restart", "loss of its pod", "idleness"]
Stage = Literal["nothing", "running", "paused", "idle"]


class Client:
    """Whoever has to do with one session. Replicas and pauses are drawn from `seed`."""

    def __init__(self, arena: Arena, session: Session, seed: int) -> None:
        self.arena = arena
        self.session = session
        self._random = random.Random(seed)

    async def ask(self, kind: Kind) -> Call:
        """Send a request through any replica; a visit comes with the newest session key."""
        key = self.session.keys[-1] if kind == "visit" else ""
        return await self.arena.call(self.session, kind, self._random.randrange(REPLICAS), key=key)

    async def insist(self, kind: Kind) -> Call:
        """Send a request again until there is an answer that tells, as clients do after a 503."""
        call = await self.ask(kind)
        if call.outcome is not UNKNOWN:
            return call
        await asyncio.sleep(_AGAIN_SECONDS)
        return await self.insist(kind)

    async def ask_at_once(self, *kinds: Kind) -> list[Call]:
        """Several requests, hardly apart, in any order."""
        return await asyncio.gather(*(self._later(self.ask(kind)) for kind in kinds))

    def shuffled(self, *kinds: Kind) -> list[Kind]:
        """The same requests in any order."""
        return self._random.sample(kinds, len(kinds))

    async def meet(self, *happenings: Kind | Incident) -> None:
        """All of this happens, hardly apart, in any order."""
        await asyncio.gather(*(self._later(self._happen(what)) for what in happenings))

    async def bring_to(self, stage: Stage) -> None:
        """Make it so, and wait until everybody says so."""
        if stage == "nothing":
            return
        await self.run()
        if stage == "paused":
            await self.insist("pause")
        elif stage == "idle":
            await self.become_idle()
        await settle(self.arena, self.session)

    async def become_idle(self) -> None:
        """Suspend it for idleness, and wait until every replica says so; its pod may still be ending."""
        while self.session.calls[-1].kind != "idle":
            await self.arena.suspend_idle(self.session)
        await self._until_none_lists_it()

    async def run(self) -> Alive:
        """Start it, and wait until it is ready."""
        call = await self.insist("start")
        await settle(self.arena, self.session)
        now = self.session.now
        assert isinstance(now, Alive)
        self.expect(call.outcome, Told(now.key))
        return now

    def expect(self, found: object, wanted: object) -> None:
        """Both are equal."""
        assert found == wanted, f"{found} instead of {wanted}\n{self.session.story}"

    async def until(self, keep: Callable[[State], bool]) -> None:
        """Return once its Sandbox is in such a state."""

        async def look() -> bool:
            return keep(self.session.now)

        await self._eventually(look)

    async def _until_none_lists_it(self) -> None:
        """A look could be told that it is ready, and its visit would wake it."""

        async def unlisted(replica: int) -> bool:
            return (await self.arena.call(self.session, "list", replica)).outcome is NOT_LIVE

        for replica in range(REPLICAS):
            await self._eventually(partial(unlisted, replica))

    async def _eventually(self, look: Callable[[], Awaitable[bool]]) -> None:
        try:
            await eventually(look)
        except TimeoutError:
            raise AssertionError(f"it does not come about\n{self.session.story}") from None

    async def _later[T](self, action: Coroutine[Any, Any, T]) -> T:
        await asyncio.sleep(self._random.choice(_APART_SECONDS))
        return await action

    async def _happen(self, what: Kind | Incident) -> None:
        match what:
            case "end of life":
                await self.arena.end_life(self.session)
            case "restart":
                await self.arena.restart_pod(self.session)
            case "loss of its pod":
                await self.arena.lose_pod(self.session)
            case "idleness":
                await self.arena.suspend_idle(self.session)
            case _:
                await self.ask(what)


async def side_by_side(arena: Arena, *races: Callable[[Client], Awaitable[object]]) -> None:
    """Run each with several sessions, all at once, and let all settle."""
    runs = [(Client(arena, arena.session(), number), race) for race in races for number in range(SESSIONS)]
    await asyncio.gather(*(race(client) for client, race in runs))
    await settle(arena, *(client.session for client, _ in runs))
    await asyncio.gather(*(client.ask("stop") for client, _ in runs))
