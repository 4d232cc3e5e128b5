"""The checker of histories: what it takes for true, and what it refuses."""

from collections.abc import Sequence
from math import inf

import pytest

from control_plane.races.history import GONE, NOT_LIVE, UNKNOWN, Alive, Call, Kind, Outcome, State, Told, explains

RUNNING, PAUSED, IDLE = Alive("1"), Alive("1", "Requested"), Alive("1", "Idle")
NEW = Alive("2")
UP, DOWN = Told("1"), Told("1", paused=True)
NEW_UP = Told("2")
START = Call("start", 0, 0, 1, UP)
PAUSE = Call("pause", 0, 2, 3, DOWN)
STOP = Call("stop", 0, 2, 3, GONE)
SUSPEND_IDLE = Call("idle", 9, 2, 3, DOWN)


def call(kind: Kind, outcome: Outcome, sent: float, answered: float, replica: int = 0, key: str = "") -> Call:
    return Call(kind, replica, sent, answered, outcome, key)


def visit(outcome: Outcome, sent: float, answered: float, replica: int = 0) -> Call:
    return call("visit", outcome, sent, answered, replica, key="1")


@pytest.mark.parametrize(
    ("states", "calls"),
    [
        ([GONE], []),
        ([GONE], [call("stop", GONE, 0, 1), call("pause", GONE, 0, 1), call("look", GONE, 0, 1)]),
        ([GONE, RUNNING], [START, START, call("look", UP, 2, 3), call("list", UP, 2, 3), visit(UP, 2, 3)]),
        ([GONE, RUNNING, PAUSED, RUNNING], [START, PAUSE, call("resume", UP, 2, 4), call("list", UP, 5, 6)]),
        ([GONE, RUNNING, PAUSED], [START, PAUSE, call("list", NOT_LIVE, 4, 5), visit(UNKNOWN, 4, 5)]),
        # The pause is answered when the resume has already been.
        ([GONE, RUNNING, PAUSED, RUNNING], [START, call("pause", UP, 2, 5), call("resume", UP, 3, 4)]),
        # A start is stopped before its answer.
        ([GONE, RUNNING, GONE], [call("start", GONE, 0, 3), call("stop", GONE, 1, 2)]),
        # The first start is answered with what the second has made.
        (
            [GONE, RUNNING, GONE, NEW],
            [call("start", NEW_UP, 0, 6), call("stop", GONE, 1, 2), call("start", NEW_UP, 3, 4)],
        ),
        # Whoever has no answer may have been heard, at any time, or not.
        ([GONE, RUNNING, GONE], [START, call("stop", UNKNOWN, 2, inf), call("look", UP, 3, 4)]),
        ([GONE, RUNNING], [START, call("stop", UNKNOWN, 2, inf)]),
        # Another replica may lag.
        ([GONE, RUNNING, GONE], [START, STOP, call("look", UP, 4, 5, replica=1), visit(UP, 4, 5, replica=1)]),
        # A visit wakes an idle one, also if it is told nothing; and it may come too late.
        ([GONE, RUNNING, IDLE, RUNNING], [START, SUSPEND_IDLE, visit(UP, 4, 5)]),
        ([GONE, RUNNING, IDLE, RUNNING], [START, SUSPEND_IDLE, visit(UNKNOWN, 4, 5)]),
        ([GONE, RUNNING, IDLE, PAUSED], [START, SUSPEND_IDLE, call("pause", DOWN, 4, 5), visit(UNKNOWN, 4, 5)]),
        ([GONE, RUNNING, GONE, NEW], [START, STOP, call("start", NEW_UP, 4, 5), visit(GONE, 4, 5)]),
        # The operator deletes it at the end of its time, or has not done so yet.
        ([GONE, RUNNING, GONE], [START, call("expire", UNKNOWN, 2, inf, key="1"), call("look", GONE, 3, 4)]),
        ([GONE, RUNNING], [START, call("expire", UNKNOWN, 2, inf, key="1")]),
    ],
)
def test_what_can_be_true(states: Sequence[State], calls: Sequence[Call]) -> None:
    assert explains(states, calls)


@pytest.mark.parametrize(
    ("states", "calls"),
    [
        # Nobody asked for it.
        ([GONE, RUNNING], []),
        ([GONE, RUNNING, PAUSED], [START]),
        ([GONE, RUNNING, IDLE], [START, PAUSE]),
        ([GONE, RUNNING, GONE, NEW], [START, STOP]),
        # It was asked for, and has not come.
        ([GONE], [START]),
        ([GONE, RUNNING], [START, PAUSE]),
        ([GONE, RUNNING], [START, STOP]),
        # The last request has lost against an earlier one.
        ([GONE, RUNNING, PAUSED], [START, PAUSE, call("resume", UP, 4, 5)]),
        # It was there all the time.
        ([GONE, RUNNING], [START, call("pause", GONE, 2, 3)]),
        ([GONE, RUNNING], [START, visit(GONE, 2, 3)]),
        ([GONE, RUNNING], [START, call("list", NOT_LIVE, 2, 3)]),
        ([GONE, RUNNING], [call("start", GONE, 0, 1)]),
        # A start makes a new one where there is none, whatever it had found.
        ([GONE, RUNNING, PAUSED, GONE], [START, PAUSE, call("start", GONE, 4, 7), call("stop", GONE, 5, 6)]),
        # The old one is named although the new one was asked for afterwards.
        ([GONE, RUNNING, GONE, NEW], [START, STOP, call("start", UP, 4, 5)]),
        # A replica has forgotten what it did, or what it told.
        ([GONE, RUNNING, GONE], [START, STOP, call("look", UP, 4, 5)]),
        ([GONE, RUNNING, GONE], [START, STOP, visit(UP, 4, 5)]),
        (
            [GONE, RUNNING, PAUSED],
            [START, call("pause", DOWN, 2, 3, replica=1), call("look", DOWN, 4, 5), call("look", UP, 6, 7)],
        ),
        # Told before it was asked for.
        ([GONE, RUNNING], [call("look", UP, 0, 1), call("start", UP, 2, 3)]),
        # A visit does not wake one that was paused by request, nor with the key of an earlier one.
        ([GONE, RUNNING, PAUSED, RUNNING], [START, PAUSE, visit(UNKNOWN, 4, 5)]),
        ([GONE, RUNNING, IDLE, RUNNING], [START, SUSPEND_IDLE, call("visit", UNKNOWN, 4, 5, key="0")]),
        # It wakes an idle one, or is told that it does not run.
        ([GONE, RUNNING, IDLE], [START, call("idle", DOWN, 2, 3), visit(UP, 4, 5)]),
        # Only the one whose time is over is deleted.
        ([GONE, RUNNING, GONE], [START, call("expire", UNKNOWN, 2, inf, key="0")]),
        # What was answered has its place before that: it cannot be heard later.
        ([GONE, RUNNING, IDLE, RUNNING], [START, visit(UNKNOWN, 2, 3), call("idle", DOWN, 4, 5)]),
    ],
)
def test_what_cannot(states: Sequence[State], calls: Sequence[Call]) -> None:
    assert not explains(states, calls)
