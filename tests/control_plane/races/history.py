"""Whether what clients were told can be true: a search for one order of their requests that explains everything.

It is known which states a session's Sandbox has gone through, one after the other; that is the API server's own word.
Each request must have a place in that sequence between the time it was sent and the time it was answered, where it did
what its kind is meant to do (Herlihy and Wing, "Linearizability: a correctness condition for concurrent objects",
1990). What no request explains must not have happened. Pure.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal

Kind = Literal["start", "stop", "pause", "resume", "look"]


@dataclass(frozen=True, slots=True)
class Alive:
    """A session's Sandbox, which is there. A new one has another session key."""

    key: str
    suspended: bool


class Nothing(Enum):
    """What a client is told, or the API server holds, instead of a Sandbox."""

    GONE = "gone"
    """There is none. It is also the answer to a /stop that has deleted one."""
    UNKNOWN = "unknown"
    """No answer: nobody knows whether the request has done anything."""


GONE, UNKNOWN = Nothing.GONE, Nothing.UNKNOWN

type State = Alive | Literal[Nothing.GONE]
type Outcome = State | Literal[Nothing.UNKNOWN]


@dataclass(frozen=True, slots=True)
class Call:
    """One request about one session. Times are those of any one clock; without an answer, `answered` is infinite.

    `replica` is the process that was asked: its answers never go back in time, others' may be ahead of it.
    """

    kind: Kind
    replica: int
    sent: float
    answered: float
    outcome: Outcome


def explains(states: Sequence[State], calls: Sequence[Call]) -> bool:
    """Whether there is an order of the calls that leads through exactly these states, and in which each answer is true.

    An answer is true if it names a state from the call's effect until its answer; a look's answer may also be an
    older state, but none older than its replica has already told or brought about.
    """
    return _Search(states, calls).succeeds()


@dataclass(frozen=True, slots=True)
class _Node:
    """Part of an order: the state that is reached, and which calls are still to come or to be answered."""

    position: int
    to_come: frozenset[int]
    to_answer: frozenset[int] = frozenset()
    floors: tuple[tuple[int, int], ...] = ()


@dataclass
class _Search:
    states: Sequence[State]
    calls: Sequence[Call]
    seen: set[_Node] = field(default_factory=set[_Node])

    def succeeds(self) -> bool:
        ahead = [_Node(0, frozenset(range(len(self.calls))))]
        while ahead:
            node = ahead.pop()
            if node in self.seen:
                continue
            self.seen.add(node)
            if self._is_whole(node):
                return True
            ahead.extend(self._next(node))
        return False

    def _is_whole(self, node: _Node) -> bool:
        open_ = [number for number in node.to_come if self.calls[number].outcome is not UNKNOWN]
        return not open_ and not node.to_answer and node.position == len(self.states) - 1

    def _next(self, node: _Node) -> Iterator[_Node]:
        unfinished = node.to_come | node.to_answer
        first_answer = min((self.calls[number].answered for number in unfinished), default=0.0)
        for number in node.to_come:
            call = self.calls[number]
            if call.sent > first_answer:
                continue
            if call.kind == "look":
                yield from self._look(node, number)
                continue
            # A start finds nothing only if it is stopped afterwards: it would have made one.
            if call.kind != "start" and call.outcome is GONE and self.states[node.position] is GONE:
                yield self._done(node, number, node.position)
            position = self._effect(node.position, call)
            if position is not None:
                yield self._apply(node, number, position)

    def _effect(self, position: int, call: Call) -> int | None:
        """Position after the call has done its work in this state; None if the states do not go on like that."""
        now = self.states[position]
        match call.kind, now:
            case "stop", Alive():
                wanted: State = GONE
            case "pause" | "resume", Alive():
                wanted = Alive(now.key, call.kind == "pause")
            case "start", Alive():
                wanted = Alive(now.key, False)
            case "start", Nothing.GONE:
                return self._new(position)
            case _:
                return None
        if wanted == now:
            return position
        return position + 1 if self.states[position + 1 : position + 2] == [wanted] else None

    def _new(self, position: int) -> int | None:
        match self.states[position + 1 : position + 2]:
            case [Alive(suspended=False)]:
                return position + 1
            case _:
                return None

    def _apply(self, node: _Node, number: int, position: int) -> _Node:
        call = self.calls[number]
        if call.outcome is UNKNOWN or call.outcome == self.states[position]:
            return self._done(node, number, position)
        moved = self._move(node, position)
        return _Node(position, moved.to_come - {number}, moved.to_answer | {number}, moved.floors)

    def _done(self, node: _Node, number: int, position: int) -> _Node:
        moved = self._move(node, position)
        floors = _raised(moved.floors, self.calls[number].replica, position)
        return _Node(position, moved.to_come - {number}, moved.to_answer, floors)

    def _move(self, node: _Node, position: int) -> _Node:
        """The states have reached this position: answers that wait for it are given."""
        floors, waiting = node.floors, set(node.to_answer)
        for number in node.to_answer:
            if self.calls[number].outcome == self.states[position]:
                waiting.discard(number)
                floors = _raised(floors, self.calls[number].replica, position)
        return _Node(position, node.to_come, frozenset(waiting), floors)

    def _look(self, node: _Node, number: int) -> Iterator[_Node]:
        call = self.calls[number]
        floor = dict(node.floors).get(call.replica, 0)
        for position in range(floor, node.position + 1):
            if call.outcome in (self.states[position], UNKNOWN):
                floors = _raised(node.floors, call.replica, position)
                yield _Node(node.position, node.to_come - {number}, node.to_answer, floors)
                return


def _raised(floors: tuple[tuple[int, int], ...], replica: int, position: int) -> tuple[tuple[int, int], ...]:
    raised = dict(floors)
    raised[replica] = max(raised.get(replica, 0), position)
    return tuple(sorted(raised.items()))
