"""What happens in a simulated world: data alone."""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

type Moves = Sequence[tuple[float, float]]
"""When a wall clock was moved, in order, and by how much."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What clients and the agent do with one sandbox. Times are seconds of true time."""

    timeout: int
    boot: float
    """From the start of the container to that of the agent server's process; 2 s later it is ready."""
    started_at: float
    """When the process started."""
    requests: Sequence[tuple[float, float, int]] = ()
    """Start, end, and a number that picks the replica."""
    handshakes: Sequence[tuple[float, int]] = ()
    conversations: Sequence[tuple[float, float, Sequence[float]]] = ()
    """Start, end, and events after the first: without any a silent model call."""
    commands: Sequence[float] = ()
    """Events of the agent server of which no gateway knows."""
    restarts: Sequence[float] = ()
    deaf: tuple[float, float] = (math.inf, math.inf)
    """From when until when the agent server does not answer."""


@dataclass(frozen=True, slots=True)
class Replacement:
    """The end of one replica: gracefully, after the start of another one; or killed, in place or for good.

    `delay`: how long a killed one is listed without answering, or how long others may take for what is in flight.
    `gap`: how much later than its end is listed the one that replaces a killed one. All others are listed in time.
    """

    at: float
    index: int
    gracefully: bool
    in_place: bool
    delay: float
    gap: float = 0.0


@dataclass(frozen=True, slots=True)
class World:
    """One history. The first operator starts at 0 and checks for the first time at `phase`."""

    plans: Sequence[Plan]
    replicas: Sequence[float] = (5000.0,)
    """Ages of the gateway's replicas at 0."""
    replacements: Sequence[Replacement] = ()
    silences: Sequence[tuple[float, float, int]] = ()
    """From when until when which replica serves without answering the operator."""
    absences: Sequence[tuple[float, float]] = ()
    """When an operator ends, and when the next one starts."""
    node_moves: Moves = ()
    """All forwards or all backwards: what happened between a step back and one forth leaves no trace."""
    operator_moves: Moves = ()
    phase: float = 0.0
    latency: float = 0.0
    """How long each answer takes on its way to the operator."""
    end: float = 400.0


@dataclass(slots=True)
class Tally:
    """How much was simulated, and how often only a stated tolerance made a suspension right."""

    timelines: int = 0
    checks: int = 0
    suspended: int = 0
    lost_by_kill: int = 0
    hidden_by_move: int = 0

    def add(self, other: "Tally") -> None:
        """Sum up."""
        self.timelines += other.timelines
        self.checks += other.checks
        self.suspended += other.suspended
        self.lost_by_kill += other.lost_by_kill
        self.hidden_by_move += other.hidden_by_move


class ViolationError(AssertionError):
    """A decision that the truth forbids, or the lack of one."""


class WallClock:
    """By how much a wall clock is ahead of true time."""

    def __init__(self, moves: Moves) -> None:
        self._times = [at for at, _ in moves]
        self._sums = [0.0]
        for _, by in moves:
            self._sums.append(self._sums[-1] + by)
        self.last_move = self._times[-1] if moves else -math.inf

    def ahead(self, at: float) -> float:
        """Seconds at this true time."""
        return self._sums[bisect_right(self._times, at)] if self._times else 0.0
