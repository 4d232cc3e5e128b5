"""Since when one agent server has been idle, by this process's monotonic clock. Pure.

The agent server uses its node's wall clock: `uptime` and `idle_time` are differences in whole seconds
(openhands_agent_server 1.58.2, `server_details_router.py`). If that clock is moved, `uptime` differs from the time that
has passed here, and `idle_time` is corrected by this difference.
"""

import math
from dataclasses import dataclass

_ROUNDING = 2.0
"""Seconds by which two such differences may deviate, because of rounding and of the time that answers take."""
_LONGEST_BOOT = 60.0
"""Seconds from the start of a container until the agent server begins to count its uptime."""


@dataclass(frozen=True, slots=True)
class AgentAnswer:
    """What an agent server reports, in seconds. `running` is the number of running conversations.

    `at` is when the answer came, by this process's monotonic clock. `age` is for how long the container had run then,
    by the wall clocks of its node and of this process; None if unknown.
    """

    at: float
    uptime: float
    idle_time: float
    running: int
    age: float | None = None


class IdleClock:
    """One run of one agent server. Times are seconds of a monotonic clock."""

    __slots__ = ("_answer", "active_at")

    def __init__(self, active_at: float = -math.inf) -> None:
        self.active_at = active_at
        """When it was last in use; never earlier than the true time."""
        self._answer: AgentAnswer | None = None

    @property
    def has_answered(self) -> bool:
        """Whether there is an answer to compare later ones with."""
        return self._answer is not None

    def answered(self, answer: AgentAnswer) -> None:
        """Take an answer of the agent server."""
        before, self._answer = self._answer, answer
        if answer.running:
            used_at = answer.at
        elif before is None:
            used_at = _first(answer)
        else:
            used_at = self._compared(before, answer)
        self.active_at = max(self.active_at, min(used_at, answer.at))

    def _compared(self, before: AgentAnswer, answer: AgentAnswer) -> float:
        used_at = answer.at - answer.idle_time
        ahead = (answer.uptime - before.uptime) - (answer.at - before.at)
        if ahead > _ROUNDING:
            # The last use may have been before or after the clock was moved. One more second allows for rounding.
            return used_at + ahead + 1
        if ahead >= -_ROUNDING and used_at > self.active_at + _ROUNDING and _is_same_use(before, answer):
            # The last use only seems later, because the clock was moved back after it.
            return self.active_at
        return used_at


def _is_same_use(before: AgentAnswer, answer: AgentAnswer) -> bool:
    """Whether both answers mean the same last use, if the node's clock was not moved between them.

    Equal clock readings prove nothing if the clock has passed them again since: another use may have been just then.
    """
    moment, known = answer.uptime - answer.idle_time, before.uptime - before.idle_time
    return abs(moment - known) <= 1 and (before.idle_time >= 0 or answer.idle_time < -1)


def _first(answer: AgentAnswer) -> float:
    """When the last use was, from the first answer of an agent server.

    If the wall clocks disagree about its age, one of them has been moved, and `idle_time` is of no use.
    """
    if answer.age is None or not -_ROUNDING <= answer.age - answer.uptime <= _LONGEST_BOOT:
        return answer.at
    return answer.at - answer.idle_time
