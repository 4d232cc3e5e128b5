"""Decides in each check which sandboxes have been idle for too long. The requests and writes are passed in.

Each check looks at all sandboxes in memory. It asks only the agent servers of those that may be due.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import batched
from typing import Protocol

from sandbox_common.activity import Report
from sandbox_operator.idle.clock import AgentAnswer, IdleClock
from sandbox_operator.idle.last_uses import LastUses
from sandbox_operator.watching.pods import RunId

_BATCH = 64
"""How many agent servers are asked at the same time. Then the gateways are asked once more, and the idle sandboxes are
suspended. So the answers are fresh, no matter how many sandboxes there are and how long others take to answer."""

FIRST_QUESTIONS = 1000
"""Maximum in one check. A new process has no answers yet and would ask all agent servers during its busiest time."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A sandbox that has a pod.

    `run` changes when the agent server restarts. `ready_at` is when this process saw it become ready, by its monotonic
    clock: -inf if it was ready when this process began, None while it is not ready. `timeout` is in seconds; 0: never.
    """

    name: str
    run: RunId
    ready_at: float | None
    timeout: int


@dataclass(frozen=True, slots=True)
class Idle:
    """A sandbox to suspend, and how long it has been idle."""

    name: str
    timeout: int
    idle_seconds: float


class Replicas(Protocol):
    """The gateway's replicas."""

    async def reports(self, within: Callable[[str], float | None]) -> Mapping[str, Report | None]:
        """Reports of all listed replicas by address; None for a replica that does not answer. Never raises.

        `within(address)` gives the seconds to ask this replica for. The result is empty if no replica is found.
        """
        ...


class Gateways(Replicas, Protocol):
    """The gateway's replicas, and all that they are asked."""

    async def image_size(self, image: str, owner: str, class_name: str) -> int:
        """Compressed bytes of an image that a sandbox of this owner and class needs; 0: unknown. Never raises."""
        ...


class Agents(Protocol):
    """The agent servers."""

    async def look(self, names: Collection[str]) -> Mapping[str, AgentAnswer]:
        """Answers of these sandboxes' agent servers, without those that gave none. Never raises."""
        ...


class Suspender(Protocol):
    """Suspends sandboxes."""

    async def suspend(self, idle: Sequence[Idle]) -> None:
        """Suspend each of these sandboxes if it has not changed since the check began. Never raises."""
        ...


class IdleChecks:
    """What this process knows about the use of all sandboxes. `clock` is monotonic, in seconds."""

    def __init__(
        self,
        gateways: Replicas | None,
        agents: Agents,
        suspender: Suspender,
        clock: Callable[[], float],
    ) -> None:
        self._gateways = gateways
        self._agents = agents
        self._suspender = suspender
        self._clock = clock
        self.last_uses = LastUses(followed=gateways is not None)
        self._clocks: dict[str, tuple[RunId, IdleClock]] = {}
        self._tried: set[str] = set()
        """Names of the sandboxes that were asked for a first answer in the present round."""

    async def check(self, candidates: Collection[Candidate]) -> None:
        """Suspend the candidates that have certainly been idle for their timeout."""
        await self._ask_gateways()
        self._follow(candidates)
        held_back = self.last_uses.holds_back(self._clock())
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
            # Any use that began after the agent servers were asked came through a gateway.
            await self._ask_gateways()
            held_back = self.last_uses.holds_back(self._clock())
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
        answers = await self._gateways.reports(lambda address: self.last_uses.within(address, asked_at))
        self.last_uses.heard(answers, asked_at, self._clock())

    def _follow(self, candidates: Collection[Candidate]) -> None:
        """Keep one clock for each run of an agent server, from its readiness on."""
        clocks: dict[str, tuple[RunId, IdleClock]] = {}
        for candidate in candidates:
            known = self._clocks.get(candidate.name)
            if known and known[0] == candidate.run:
                clocks[candidate.name] = known
            elif candidate.ready_at is not None:
                clocks[candidate.name] = candidate.run, IdleClock(candidate.ready_at)
        self._clocks = clocks
        self.last_uses.keep(clocks)

    def _some(self, unknown: list[Candidate]) -> list[Candidate]:
        """Choose candidates without a first answer, which later answers are compared with; all get their turn."""
        waiting = sorted(unknown, key=lambda candidate: candidate.name in self._tried)
        chosen = waiting[:FIRST_QUESTIONS]
        names = {candidate.name for candidate in chosen}
        begins_anew = names & self._tried or len(waiting) <= FIRST_QUESTIONS
        self._tried = names if begins_anew else self._tried | names
        return chosen

    def _idle_seconds(self, candidate: Candidate) -> float:
        active_at = self._clocks[candidate.name][1].active_at
        used_at = self.last_uses.used_at(candidate.name, candidate.timeout)
        return self._clock() - max(active_at, used_at)

    def _is_due(self, candidate: Candidate) -> bool:
        return self._idle_seconds(candidate) >= candidate.timeout
