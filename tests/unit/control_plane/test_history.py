"""The checker of histories: what it takes for true, and what it refuses."""

from collections.abc import Sequence
from math import inf

import pytest

from control_plane.races.history import GONE, UNKNOWN, Alive, Call, Kind, Outcome, State, explains

RUNNING, PAUSED = Alive("1", False), Alive("1", True)
NEW = Alive("2", False)


START = Call("start", 0, 0, 1, RUNNING)


def call(kind: Kind, outcome: Outcome, sent: float, answered: float, replica: int = 0) -> Call:
    return Call(kind, replica, sent, answered, outcome)


@pytest.mark.parametrize(
    ("states", "calls"),
    [
        ([GONE], []),
        ([GONE], [call("stop", GONE, 0, 1), call("pause", GONE, 0, 1), call("look", GONE, 0, 1)]),
        ([GONE, RUNNING], [START, START, call("look", RUNNING, 2, 3)]),
        ([GONE, RUNNING, PAUSED, RUNNING], [START, call("pause", PAUSED, 2, 5), call("resume", RUNNING, 3, 4)]),
        # The pause is answered when the resume has already been.
        ([GONE, RUNNING, PAUSED, RUNNING], [START, call("pause", RUNNING, 2, 5), call("resume", RUNNING, 3, 4)]),
        # A start is stopped before its answer.
        ([GONE, RUNNING, GONE], [call("start", GONE, 0, 3), call("stop", GONE, 1, 2)]),
        # The first start is answered with what the second has made.
        ([GONE, RUNNING, GONE, NEW], [call("start", NEW, 0, 6), call("stop", GONE, 1, 2), call("start", NEW, 3, 4)]),
        # Whoever has no answer may have been heard, at any time, or not.
        ([GONE, RUNNING, GONE], [START, call("stop", UNKNOWN, 2, inf), call("look", RUNNING, 3, 4)]),
        ([GONE, RUNNING], [START, call("stop", UNKNOWN, 2, inf)]),
        # Another replica may lag.
        ([GONE, RUNNING, GONE], [START, call("stop", GONE, 2, 3), call("look", RUNNING, 4, 5, replica=1)]),
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
        ([GONE, RUNNING, GONE, NEW], [START, call("stop", GONE, 2, 3)]),
        # It was asked for, and has not come.
        ([GONE], [START]),
        ([GONE, RUNNING], [START, call("pause", PAUSED, 2, 3)]),
        ([GONE, RUNNING], [START, call("stop", GONE, 2, 3)]),
        # The last request has lost against an earlier one.
        ([GONE, RUNNING, PAUSED], [START, call("pause", PAUSED, 2, 3), call("resume", RUNNING, 4, 5)]),
        # It was there all the time.
        ([GONE, RUNNING], [START, call("pause", GONE, 2, 3)]),
        ([GONE, RUNNING], [call("start", GONE, 0, 1)]),
        # A start makes a new one where there is none, whatever it had found.
        (
            [GONE, RUNNING, PAUSED, GONE],
            [START, call("pause", PAUSED, 2, 3), call("start", GONE, 4, 7), call("stop", GONE, 5, 6)],
        ),
        # The old one is named although the new one was asked for afterwards.
        ([GONE, RUNNING, GONE, NEW], [START, call("stop", GONE, 2, 3), call("start", RUNNING, 4, 5)]),
        # A replica has forgotten what it did, or what it told.
        ([GONE, RUNNING, GONE], [START, call("stop", GONE, 2, 3), call("look", RUNNING, 4, 5)]),
        (
            [GONE, RUNNING, PAUSED],
            [START, call("pause", PAUSED, 2, 3, replica=1), call("look", PAUSED, 4, 5), call("look", RUNNING, 6, 7)],
        ),
        # Told before it was asked for.
        ([GONE, RUNNING], [call("look", RUNNING, 0, 1), call("start", RUNNING, 2, 3)]),
    ],
)
def test_what_cannot(states: Sequence[State], calls: Sequence[Call]) -> None:
    assert not explains(states, calls)
