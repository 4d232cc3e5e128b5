"""Pulls of one node, and how far the predictions made two seconds after their beginning are from what came."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random

from sandbox_operator.watching.pulls import PullEvent, Pulls

_LOOK_SECONDS = 2.0
"""When a pull is reported."""
_STEP = 0.1
_START = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Pull:
    """Seconds from some time on: from `asked` it waited for its turn, and it took the last `seconds` until `ended`."""

    asked: float
    ended: float
    seconds: float
    size: int


def errors(pulls: Sequence[Pull]) -> list[float]:
    """The relative errors of all predictions, in the order in which the pulls began."""
    events = [event for number, pull in enumerate(pulls) for event in _events(number, pull)]
    sizes = {f"image-{number}": pull.size for number, pull in enumerate(pulls)}.__getitem__
    found: list[float] = []
    for number, pull in enumerate(pulls):
        now = pull.asked + _LOOK_SECONDS
        known = Pulls()
        for time, event in events:
            if time <= now < pull.ended:
                known.see(event)
        waiting = {f"pod-{other}" for other, each in enumerate(pulls) if each.asked <= now < each.ended}
        under_way = known.of(f"pod-{number}", "node", lambda _, uid, all_=waiting: uid in all_, _at(now), sizes)
        if under_way and under_way.expected_seconds:
            took = pull.ended - pull.asked
            found.append(abs(under_way.expected_seconds - took) / took)
    return found


def simulated(
    asked: Sequence[float | None], sizes: Sequence[int], random: Random, *, together: bool, rate: float = 20e6
) -> list[Pull]:
    """Pulls by a node that shares its `rate` among those under way, or pulls one after another.

    A pull is asked for at its time; if that is None, once fewer than eight are under way. Each costs a second of its
    own, and up to 15 % more or fewer bytes than its size: layers may be there, or be unpacked slowly.
    """
    left = [size * random.uniform(0.85, 1.15) + rate for size in sizes]
    asked_at, began, ended = dict[int, float](), dict[int, float](), dict[int, float]()
    now = 0.0
    while len(ended) < len(sizes):
        under_way = [number for number in asked_at if number not in ended]
        for number, time in enumerate(asked):
            if number not in asked_at and (len(under_way) < 8 if time is None else time <= now):
                asked_at[number] = now
                under_way.append(number)
        served = under_way if together else under_way[:1]
        for number in served:
            began.setdefault(number, now)
            left[number] -= rate * _STEP / len(served)
            if left[number] <= 0:
                ended[number] = now + _STEP
        now += _STEP
    return [
        Pull(asked_at[number], ended[number], ended[number] - began[number], size) for number, size in enumerate(sizes)
    ]


def _events(number: int, pull: Pull) -> list[tuple[float, PullEvent]]:
    pod, image = f"pod-{number}", f"image-{number}"
    return [
        (pull.asked, PullEvent(pod, pod, image, "node", _at(int(pull.asked)))),
        (pull.ended, PullEvent(pod, pod, image, "node", _at(int(pull.ended)), pull.seconds, pull.size)),
    ]


def _at(seconds: float) -> datetime:
    return _START + timedelta(seconds=seconds)
