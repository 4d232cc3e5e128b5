"""Clients that ask for anything at any time, while processes are killed: whatever the order, no answer is a lie."""

import asyncio
from collections.abc import Coroutine
from functools import partial
from typing import Any, Literal, cast

from hypothesis import Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from control_plane.races.arena import Arena
from control_plane.races.gateways import REPLICAS
from control_plane.races.history import Kind
from control_plane.races.session import Session
from control_plane.races.settling import settle

SESSIONS = 3
STEPS = 25

sessions = st.integers(0, SESSIONS - 1)
replicas = st.integers(0, REPLICAS - 1)
moments = st.sampled_from((0.0, 0.0, 0.01, 0.1, 0.4))

type Mortal = Literal["", "operator", "gateway"]
MORTALS: list[Mortal] = ["", "", "operator", "gateway"]
"""What may be ended in one example, once; each start of a process takes seconds of CPU."""


class Races(RuleBasedStateMachine):
    """Requests are sent without waiting for the answers to earlier ones. Time passes only while a rule runs."""

    def __init__(self, arena: Arena) -> None:
        super().__init__()
        self._arena = arena
        self._open: list[asyncio.Task[Any]] = []
        self._sessions: list[Session] = []
        self._mortal: Mortal = ""

    @initialize(delays=st.integers(0, 2**32), mortal=st.sampled_from(MORTALS))
    def begin(self, delays: int, mortal: Mortal) -> None:
        self._mortal = mortal
        self._arena.begin(delays)
        self._sessions = [self._arena.session() for _ in range(SESSIONS)]

    @rule(number=sessions, replica=replicas, moment=moments, environment=st.sampled_from(({}, {"TOKEN": "t"})))
    def start(self, number: int, replica: int, moment: float, environment: dict[str, str]) -> None:
        self._ask("start", number, replica, moment, environment=environment)

    @rule(number=sessions, replica=replicas, moment=moments)
    def stop(self, number: int, replica: int, moment: float) -> None:
        self._ask("stop", number, replica, moment)

    @rule(number=sessions, replica=replicas, moment=moments)
    def pause(self, number: int, replica: int, moment: float) -> None:
        self._ask("pause", number, replica, moment)

    @rule(number=sessions, replica=replicas, moment=moments)
    def resume(self, number: int, replica: int, moment: float) -> None:
        self._ask("resume", number, replica, moment)

    @rule(number=sessions, replica=replicas, moment=moments)
    def look(self, number: int, replica: int, moment: float) -> None:
        self._ask("look", number, replica, moment)

    @rule(number=sessions, replica=replicas, moment=moments)
    def look_at_all(self, number: int, replica: int, moment: float) -> None:
        self._ask("list", number, replica, moment)

    @rule(number=sessions, replica=replicas, moment=moments)
    def visit(self, number: int, replica: int, moment: float) -> None:
        if keys := self._sessions[number].keys:
            self._ask("visit", number, replica, moment, key=keys[-1])

    @rule(number=sessions, moment=moments)
    def suspend_idle(self, number: int, moment: float) -> None:
        self._do(self._arena.suspend_idle(self._sessions[number]), moment)

    @rule(number=sessions, moment=moments)
    def lose_pod(self, number: int, moment: float) -> None:
        self._do(self._arena.lose_pod(self._sessions[number]), moment)

    @rule(number=sessions, moment=moments)
    def restart_pod(self, number: int, moment: float) -> None:
        self._do(self._arena.restart_pod(self._sessions[number]), moment)

    @rule(number=sessions, moment=moments)
    def end_life(self, number: int, moment: float) -> None:
        self._do(self._arena.end_life(self._sessions[number]), moment)

    @rule()
    def wait_for_all_answers(self) -> None:
        self._arena.loop.run_until_complete(self._answers())

    @precondition(lambda self: self._mortal == "operator")
    @rule(moment=moments)
    def kill_operator(self, moment: float) -> None:
        self._mortal = ""
        self._do(self._arena.operators.restart(), moment)

    @precondition(lambda self: self._mortal == "gateway")
    @rule(replica=replicas, moment=moments, kill=st.booleans())
    def end_gateway(self, replica: int, moment: float, kill: bool) -> None:
        self._mortal = ""
        self._do(self._arena.gateways.restart(replica, kill=kill), moment)

    def teardown(self) -> None:
        self._arena.loop.run_until_complete(self._end())

    def _ask(self, kind: Kind, number: int, replica: int, moment: float, **fields: Any) -> None:
        self._do(self._arena.call(self._sessions[number], kind, replica, **fields), moment)

    def _do(self, action: Coroutine[Any, Any, Any], moment: float) -> None:
        async def begin() -> None:
            self._open.append(asyncio.create_task(action))
            await asyncio.sleep(moment)

        self._arena.loop.run_until_complete(begin())

    async def _answers(self) -> None:
        tasks, self._open = self._open, []
        await asyncio.gather(*tasks)

    async def _end(self) -> None:
        try:
            await self._answers()
            self._arena.calm()
            await settle(self._arena, *self._sessions)
        finally:
            stops = [self._arena.call(session, "stop", 0) for session in self._sessions]
            await asyncio.gather(*stops, return_exceptions=True)


def run_races(arena: Arena, first: int, examples: int) -> None:
    """Run so many examples of 25 steps, drawn from the seed `first`.

    A failure tells what happened, one line a request, state and answer; to see it again takes the same seed, and luck,
    since time is real.
    """
    run_state_machine_as_test(
        seed(first)(cast("type[RuleBasedStateMachine]", partial(Races, arena))),
        # Shrinking would run each smaller example at another pace, and prove nothing.
        settings=settings(
            max_examples=examples,
            stateful_step_count=STEPS,
            phases=(Phase.generate,),
            database=None,
        ),
    )
