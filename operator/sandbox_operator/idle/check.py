"""One check after the other: who has been idle for too long. Decides; what it asks and does is passed in.

In memory each check looks at all sandboxes; it asks only the agent servers of those that may be due.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import batched
from typing import Protocol

from sandbox_common.activity import Report
from sandbox_operator.idle.clock import Answer, IdleClock
from sandbox_operator.idle.traffic import Traffic

_BATCH = 64
"""Asked side by side and, after one more question to the gateways, suspended: what is known of each is fresh, however
many there are, and however long others take to answer."""

FIRST_QUESTIONS = 1000
"""In one check. A process that starts knows no answer: it would ask all agent servers when it has most else to do."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A sandbox that has a pod.

    `run` differs when the agent server was started anew. `ready_at` is when this process saw it become ready, by its
    monotonic clock: -inf when it was so from the beginning, None while it is not ready. `timeout` is in seconds, 0 for
    never.
    """

    name: str
    run: tuple[str, int]
    ready_at: float | None
    timeout: int


@dataclass(frozen=True, slots=True)
class Idle:
    """A sandbox that is to be suspended, and how long it has been idle."""

    name: str
    timeout: int
    idle_seconds: float


class Gateways(Protocol):
    """The gateway's replicas."""

    async def reports(self, within: Callable[[str], float | None]) -> Mapping[str, Report | None]:
        """Reports of all that are listed, by address; None for one that does not answer.

        `within` says what an address is to be asked for. Empty: none is listed, or nobody knows. Never raises.
        """
        ...


class Agents(Protocol):
    """The agent servers."""

    async def look(self, names: Collection[str]) -> Mapping[str, Answer]:
        """Answers of those of these sandboxes that gave one. Never raises."""
        ...


class Suspender(Protocol):
    """Who suspends."""

    async def suspend(self, idle: Sequence[Idle]) -> None:
        """Suspend these, each if it is still as it was at the check's beginning. Never raises."""
        ...


class Checks:
    """What this process knows of all sandboxes' use. `clock` is monotonic, in seconds."""

    def __init__(
        self,
        gateways: Gateways | None,
        agents: Agents,
        suspender: Suspender,
        clock: Callable[[], float],
    ) -> None:
        self._gateways = gateways
        self._agents = agents
        self._suspender = suspender
        self._clock = clock
        self.traffic = Traffic(followed=gateways is not None)
        self._clocks: dict[str, tuple[tuple[str, int], IdleClock]] = {}
        self._tried: set[str] = set()
        """Who has been asked for a first answer, and others have not since."""

    async def check(self, candidates: Collection[Candidate]) -> None:
        """Suspend those of the candidates that have been idle for their timeout, as far as that is known for sure."""
        await self._ask_gateways()
        self._follow(candidates)
        held_back = self.traffic.holds_back(self._clock())
        due: list[Candidate] = []
        unknown: list[Candidate] = []
        for candidate in candidates:
            if candidate.ready_at is None or not candidate.timeout:
                continue
            if not self._clocks[candidate.name][1].has_answered:
                unknown.append(candidate)
            elif not held_back and self._is_due(candidate):
                due.append(candidate)
        asked = {candidate.name: candidate for candidate in (*due, *self._some(unknown))}
        for batch in batched(asked, _BATCH):
            answers = await self._agents.look(batch)
            for name, answer in answers.items():
                self._clocks[name][1].answered(answer)
            ripe = [asked[name] for name in answers if self._is_due(asked[name])]
            if held_back or not ripe:
                continue
            # What has begun since the agent servers were asked came through a gateway.
            await self._ask_gateways()
            held_back = self.traffic.holds_back(self._clock())
            idle = [
                Idle(candidate.name, candidate.timeout, self._idle_seconds(candidate))
                for candidate in ripe
                if self._is_due(candidate)
            ]
            if idle and not held_back:
                await self._suspender.suspend(idle)

    async def _ask_gateways(self) -> None:
        if self._gateways is None:
            return
        asked_at = self._clock()
        answers = await self._gateways.reports(lambda address: self.traffic.within(address, asked_at))
        self.traffic.heard(answers, asked_at, self._clock())

    def _follow(self, candidates: Collection[Candidate]) -> None:
        """One clock for each run of an agent server, from its readiness on."""
        clocks: dict[str, tuple[tuple[str, int], IdleClock]] = {}
        for candidate in candidates:
            known = self._clocks.get(candidate.name)
            if known and known[0] == candidate.run:
                clocks[candidate.name] = known
            elif candidate.ready_at is not None:
                clocks[candidate.name] = candidate.run, IdleClock(candidate.ready_at)
        self._clocks = clocks
        self.traffic.keep(clocks)

    def _some(self, unknown: list[Candidate]) -> list[Candidate]:
        """Some of those that have not yet given the first answer, which later ones need: each in its turn."""
        waiting = sorted(unknown, key=lambda candidate: candidate.name in self._tried)
        chosen = waiting[:FIRST_QUESTIONS]
        names = {candidate.name for candidate in chosen}
        begins_anew = names & self._tried or len(waiting) <= FIRST_QUESTIONS
        self._tried = names if begins_anew else self._tried | names
        return chosen

    def _idle_seconds(self, candidate: Candidate) -> float:
        active_at = self._clocks[candidate.name][1].active_at
        used_at = self.traffic.used_at(candidate.name, candidate.timeout)
        return self._clock() - max(active_at, used_at)

    def _is_due(self, candidate: Candidate) -> bool:
        return self._idle_seconds(candidate) >= candidate.timeout
