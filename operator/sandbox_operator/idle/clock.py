"""Since when one agent server has been idle, by this process's monotonic clock: pure.

The agent server itself reckons with its node's wall clock: `uptime` and `idle_time` are differences of it in whole
seconds (openhands_agent_server 1.58.2, `server_details_router.py`). When that clock is moved, `uptime` runs away from
the time that has passed here, and `idle_time` is set right by as much.
"""

import math
from dataclasses import dataclass

_ROUNDING = 2.0
"""Seconds by which two differences of whole seconds, and of answers that took their time, may disagree."""
_LONGEST_BOOT = 60.0
"""Seconds from the start of a container to the agent server's own count of its uptime."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What an agent server says of itself, in seconds; `running` is how many conversations run.

    `at` is when the answer came, by this process's monotonic clock; `age` is how long the container has run then, by
    the wall clocks of its node and of this process, if that is known.
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
        """When it was last in use, as far as is known: not earlier than in truth."""
        self._answer: Answer | None = None

    @property
    def has_answered(self) -> bool:
        """Whether there is an answer that a later one can be compared with."""
        return self._answer is not None

    def answered(self, answer: Answer) -> None:
        """Take an answer of the agent server."""
        before, self._answer = self._answer, answer
        if answer.running:
            used_at = answer.at
        elif before is None:
            used_at = _first(answer)
        else:
            used_at = self._compared(before, answer)
        self.active_at = max(self.active_at, min(used_at, answer.at))

    def _compared(self, before: Answer, answer: Answer) -> float:
        used_at = answer.at - answer.idle_time
        ahead = (answer.uptime - before.uptime) - (answer.at - before.at)
        if ahead > _ROUNDING:
            # The last use may lie before the clock was moved or after it. One second more is for the rounding.
            return used_at + ahead + 1
        if ahead >= -_ROUNDING and used_at > self.active_at + _ROUNDING and _is_same_use(before, answer):
            # It only seems later, since the clock was moved back after it.
            return self.active_at
        return used_at


def _is_same_use(before: Answer, answer: Answer) -> bool:
    """Whether the node's clock, which has not been moved between the two, read the same at the last use.

    That proves nothing if the clock has passed that reading since: another use may have been just then.
    """
    moment, known = answer.uptime - answer.idle_time, before.uptime - before.idle_time
    return abs(moment - known) <= 1 and (before.idle_time >= 0 or answer.idle_time < -1)


def _first(answer: Answer) -> float:
    """When the last use was, for who has not seen this agent server before.

    If the wall clocks do not agree on its age, one of them has been moved, and nothing follows from `idle_time`.
    """
    if answer.age is None or not -_ROUNDING <= answer.age - answer.uptime <= _LONGEST_BOOT:
        return answer.at
    return answer.at - answer.idle_time
