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

Kind = Literal["start", "stop", "pause", "resume", "look", "list", "visit", "idle", "expire"]
"""Requests of the Runtime API; `visit` is one to the sandbox itself. `idle` is the operator's suspension of an idle
sandbox, and `expire` its deletion of one whose time is over."""

Suspension = Literal["", "Requested", "Idle"]


@dataclass(frozen=True, slots=True)
class Alive:
    """A session's Sandbox, which is there. A new one has another session key. `suspension` is why it is suspended."""

    key: str
    suspension: Suspension = ""


class Nothing(Enum):
    """What the API server holds, or a client is told, instead of a Sandbox."""

    GONE = "gone"
    """There is none. It is also the answer to a /stop that has deleted one, and to a visit with an old key."""
    NOT_LIVE = "not live"
    """It is not in the list of those that start or run."""
    UNKNOWN = "unknown"
    """There was no answer, or one that does not tell whether the request has done anything."""


GONE, NOT_LIVE, UNKNOWN = Nothing.GONE, Nothing.NOT_LIVE, Nothing.UNKNOWN


@dataclass(frozen=True, slots=True)
class Told:
    """A Sandbox as a client is told of it."""

    key: str
    paused: bool = False


type State = Alive | Literal[Nothing.GONE]
type Outcome = Told | Nothing


@dataclass(frozen=True, slots=True)
class Call:
    """One request about one session. Times are those of any one clock; without an answer, `answered` is infinite.

    `replica` is the process that was asked: its answers never go back in time, others' may be ahead of it. `key` is the
    session key that a visit came with, or that of the Sandbox whose time is over.
    """

    kind: Kind
    replica: int
    sent: float
    answered: float
    outcome: Outcome
    key: str = ""


def explains(states: Sequence[State], calls: Sequence[Call]) -> bool:
    """Whether there is an order of the calls that leads through exactly these states, and in which each answer is true.

    An answer is true if it tells a state from the call's effect until its answer. What is told from memory may also be
    an older state, but none older than its replica has already told or brought about.
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
            if not node.to_come and not node.to_answer and node.position == len(self.states) - 1:
                return True
            ahead.extend(self._next(node))
        return False

    def _next(self, node: _Node) -> Iterator[_Node]:
        unfinished = node.to_come | node.to_answer
        first_answer = min((self.calls[number].answered for number in unfinished), default=0.0)
        for number in node.to_come:
            call = self.calls[number]
            if call.sent > first_answer:
                continue
            if call.outcome is UNKNOWN:
                yield self._without(node, number)
            elif _is_from_memory(call):
                yield from self._remembered(node, number)
            # A start finds nothing only if it is stopped afterwards: it would have made one.
            elif call.kind != "start" and call.outcome is GONE and self.states[node.position] is GONE:
                yield self._done(node, number, node.position)
            for wanted in _effects(call, self.states[node.position]):
                position = self._advance(node.position, wanted)
                if position is not None:
                    yield self._apply(node, number, position)
                    if call.kind == "start" and call.outcome is UNKNOWN:
                        # It may make another one if that is stopped before it is answered.
                        yield self._move(node, position)
        if self.states[node.position] is GONE:
            yield from self._made_again(node)

    def _made_again(self, node: _Node) -> Iterator[_Node]:
        """A /start whose sandbox is stopped before it is answered makes another one."""
        position = self._advance(node.position, _NEW)
        for number in node.to_answer:
            if position is not None and self.calls[number].kind == "start":
                yield self._apply(node, number, position)

    def _advance(self, position: int, wanted: State) -> int | None:
        """Where the wanted state is reached: here, or by the next step; else None."""
        if self.states[position] == wanted:
            return position
        following = self.states[position + 1 : position + 2]
        return position + 1 if following and _like(following[0], wanted) else None

    def _apply(self, node: _Node, number: int, position: int) -> _Node:
        call = self.calls[number]
        if call.outcome is UNKNOWN or _tells(call, self.states[position]):
            return self._done(node, number, position)
        moved = self._move(node, position)
        return _Node(position, moved.to_come - {number}, moved.to_answer | {number}, moved.floors)

    def _done(self, node: _Node, number: int, position: int) -> _Node:
        moved = self._move(node, position)
        floors = _raised(moved.floors, self.calls[number].replica, position)
        return _Node(position, moved.to_come - {number}, moved.to_answer, floors)

    def _without(self, node: _Node, number: int) -> _Node:
        return _Node(node.position, node.to_come - {number}, node.to_answer, node.floors)

    def _move(self, node: _Node, position: int) -> _Node:
        """The states have reached this position: answers that wait for it are given."""
        floors, waiting = node.floors, set(node.to_answer)
        for number in node.to_answer:
            if _tells(self.calls[number], self.states[position]):
                waiting.discard(number)
                floors = _raised(floors, self.calls[number].replica, position)
        return _Node(position, node.to_come, frozenset(waiting), floors)

    def _remembered(self, node: _Node, number: int) -> Iterator[_Node]:
        call = self.calls[number]
        floor = dict(node.floors).get(call.replica, 0)
        for position in range(floor, node.position + 1):
            if _tells(call, self.states[position]):
                floors = _raised(node.floors, call.replica, position)
                yield _Node(node.position, node.to_come - {number}, node.to_answer, floors)
                return


_NEW = Alive("*")


def _effects(call: Call, now: State) -> Iterator[State]:
    """The state that the call leads to from this one, if it may do anything in it."""
    if now is GONE:
        if call.kind == "start":
            yield _NEW
        return
    match call.kind:
        case "stop":
            yield GONE
        case "expire" if call.key == now.key:
            yield GONE
        case "pause":
            yield Alive(now.key, "Requested")
        case "start" | "resume":
            yield Alive(now.key)
        case "visit" if call.key == now.key and now.suspension == "Idle":
            yield Alive(now.key)
        case "idle" if not now.suspension:
            yield Alive(now.key, "Idle")
        case _:
            pass


def _is_from_memory(call: Call) -> bool:
    return call.kind in {"look", "list", "visit"}


def _like(state: State, wanted: State) -> bool:
    return state == wanted or (wanted == _NEW and state is not GONE and not state.suspension)


def _tells(call: Call, state: State) -> bool:
    """Whether the call's answer is true in this state."""
    outcome = call.outcome
    if call.kind == "visit" and outcome is GONE:
        return state is GONE or state.key != call.key
    if outcome is NOT_LIVE:
        return state is GONE or bool(state.suspension)
    if state is GONE:
        return outcome is GONE
    return outcome == Told(state.key, bool(state.suspension))


def _raised(floors: tuple[tuple[int, int], ...], replica: int, position: int) -> tuple[tuple[int, int], ...]:
    raised = dict(floors)
    raised[replica] = max(raised.get(replica, 0), position)
    return tuple(sorted(raised.items()))
