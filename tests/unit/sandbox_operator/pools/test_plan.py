"""What is to be done about a pool: a table."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest

from sandbox_common.reasons import Reason
from sandbox_operator.pools.free_pods import LONGEST_START, VOLUME_IS_MADE, sort_free_pods
from sandbox_operator.pools.plan import BATCH, MOST_UNPLACED, PoolPlan, PoolWorld, plan
from sandbox_operator.pools.refill_history import Backoff, RefillHistory
from sandbox_operator.reporting.refusals import Refusal
from sandbox_operator.watching.pods import Pod
from unit.sandbox_operator.pools.samples import OLD_TEMPLATE, TEMPLATE, failing, free, ready, unbound, waiting
from unit.sandbox_operator.samples import KEYS, NOW, condition, container

EARLIER = NOW - timedelta(hours=1)
LATER = NOW + timedelta(seconds=30)
PROVEN = RefillHistory(TEMPLATE, proven=True, ready=frozenset())
CORDONED = "cordoned"
NO_QUOTA = Refusal(Reason.QUOTA_EXCEEDED, "exceeded quota")


def starting(name: str) -> Pod:
    """A pod that has a node, and had its Secret."""
    return free(name, node="node-1", ready=condition(False), container=container(waiting_reason="", running_since=NOW))


def old(name: str, created: datetime = EARLIER) -> Pod:
    return ready(name, created, template=OLD_TEMPLATE)


def leaving(name: str) -> Pod:
    return ready(name, EARLIER, node=CORDONED)


def lacking(name: str) -> Pod:
    """A pod that has waited for its volume for long."""
    return unbound(name, EARLIER)


def many(make: Callable[[str], Pod], number: int) -> list[Pod]:
    return [make(f"{index:02}") for index in range(number)]


@dataclass(frozen=True)
class Case:
    pods: Sequence[Pod]
    wanted: int
    creates: int = 0
    deletes: Sequence[str] = ()
    equips: Sequence[str] = ()
    history: RefillHistory = PROVEN
    known: frozenset[str] = frozenset()
    now: datetime = NOW


FAILED = RefillHistory(
    TEMPLATE, proven=True, ready=frozenset(), failing={"uid-of-a": NOW, "uid-of-b": NOW}, failures=Backoff(1, LATER)
)

CASES: dict[str, Case] = {
    "an empty pool is filled a few at a time": Case([], 10, creates=BATCH),
    "no more than are missing": Case(many(ready, 8), 10, creates=2),
    "nothing when filled": Case(many(ready, 10), 10),
    "those that start count": Case(many(starting, 10), 10),
    "a pool of none": Case([], 0),
    "no more than four of a template that nobody has seen ready": Case(
        [], 10, creates=BATCH, history=RefillHistory(TEMPLATE)
    ),
    "and then none": Case(many(starting, 4), 10, history=RefillHistory(TEMPLATE)),
    "nor beside failing ones": Case(
        many(failing, 3),
        10,
        creates=1,
        history=RefillHistory(TEMPLATE),
        known=frozenset(f"uid-of-{i:02}" for i in range(3)),
    ),
    "what is too much goes, the youngest first": Case(
        [ready("old", EARLIER), ready("young"), ready("middle", NOW - timedelta(minutes=1))],
        1,
        deletes=["young", "middle"],
    ),
    "what is of no use goes before": Case(
        [ready("a"), ready("b"), starting("c"), waiting("d"), failing("e")],
        1,
        deletes=["e", "d", "c", "b"],
    ),
    "a few at a time": Case(many(ready, 10), 0, deletes=["09", "08", "07", "06"]),
    "a pod without its Secret gets it": Case([free("a"), free("b")], 2, equips=["b"], known=frozenset({"uid-of-a"})),
    "also one that waits for a node, or fails for it": Case(
        [waiting("a"), failing("b")], 2, equips=["a", "b"], known=frozenset()
    ),
    "one that ran had it": Case([starting("a")], 1),
    "nothing is made while others failed": Case([failing("a")], 3, history=FAILED, known=frozenset({"uid-of-a"})),
    "then one is replaced": Case(
        [failing("a"), failing("b")],
        2,
        creates=1,
        deletes=["a"],
        history=FAILED,
        known=frozenset({"uid-of-a", "uid-of-b"}),
        now=LATER,
    ),
    "in good times all that fail are replaced": Case(
        [failing("a"), failing("b"), ready("c")],
        3,
        creates=2,
        deletes=["a", "b"],
        history=RefillHistory(TEMPLATE, proven=True, ready=frozenset(), failing=FAILED.failing),
        known=frozenset({"uid-of-a", "uid-of-b"}),
        now=LATER,
    ),
    "but not at once": Case(
        [failing("a"), ready("c")],
        2,
        history=RefillHistory(TEMPLATE, proven=True, ready=frozenset(), failing={"uid-of-a": NOW}),
        known=frozenset({"uid-of-a"}),
        now=NOW + timedelta(seconds=9),
    ),
    "after a refusal nothing is asked for": Case([], 3, history=PROVEN.answered(NO_QUOTA, NOW)),
    "then one": Case([], 3, creates=1, history=PROVEN.answered(NO_QUOTA, NOW), now=LATER),
    "a refused Secret is not asked for again at once": Case([free("a")], 1, history=PROVEN.answered(NO_QUOTA, NOW)),
    "few wait for room": Case(many(waiting, 3), 100, creates=1, known=frozenset(f"uid-of-{i:02}" for i in range(3))),
    "and then no more are made": Case(many(waiting, 4), 100, known=frozenset(f"uid-of-{i:02}" for i in range(4))),
    "nor while four wait for their volumes": Case(
        [*map(lacking, "abcd")], 100, known=frozenset(f"uid-of-{name}" for name in "abcd")
    ),
    "those that wait for their volumes go early": Case(
        [ready("a"), waiting("b"), lacking("c")], 1, deletes=["c", "b"], known=frozenset({"uid-of-b", "uid-of-c"})
    ),
    "while there is no volume for new ones, old ones stay": Case(
        [*many(old, 8), *map(lacking, "abcd")], 8, known=frozenset(f"uid-of-{name}" for name in "abcd")
    ),
    "after a refusal, pods get what they lack before others are made": Case(
        [free("a")], 3, equips=["a"], history=PROVEN.answered(NO_QUOTA, NOW), now=LATER
    ),
    "nor while many have no node yet": Case(
        many(free, MOST_UNPLACED), 100, known=frozenset(f"uid-of-{i:02}" for i in range(MOST_UNPLACED))
    ),
    "a roll begins with new ones": Case(many(old, 6), 6, creates=BATCH),
    "and grows no further": Case([*many(old, 6), *map(starting, "abcd")], 6),
    "for each that is ready an old one goes, the oldest first": Case(
        [old("young"), old("oldest", EARLIER - timedelta(hours=1)), ready("new")], 2, creates=1, deletes=["oldest"]
    ),
    "old ones that are not ready go at once": Case(
        [free("a", template=OLD_TEMPLATE), failing("b", template=OLD_TEMPLATE), old("c")],
        1,
        creates=1,
        deletes=["b", "a"],
    ),
    "without room a part of the old ones goes first": Case(
        [*many(old, 8), waiting("x"), waiting("y"), waiting("z"), waiting("w")],
        8,
        deletes=["00", "01"],
        known=frozenset(f"uid-of-{name}" for name in "xyzw"),
    ),
    "and no more than that": Case(
        [*many(old, 6), waiting("x"), waiting("y"), waiting("z"), waiting("w")],
        8,
        known=frozenset(f"uid-of-{name}" for name in "xyzw"),
    ),
    "so it is with a quota": Case(many(old, 1), 1, deletes=["00"], history=PROVEN.answered(NO_QUOTA, NOW)),
    "those on a node that takes no more are replaced, new ones first": Case(many(leaving, 6), 6, creates=BATCH),
    "and go as new ones are ready, before those of an earlier template": Case(
        [leaving("a"), leaving("b"), old("c"), ready("new"), ready("newer")], 3, creates=1, deletes=["a", "b"]
    ),
    "they stay while there is no room for new ones": Case(
        [*many(leaving, 4), waiting("x")], 4, creates=3, known=frozenset({"uid-of-x"})
    ),
    "and when the node takes pods again, what waits goes": Case(
        [ready("a"), ready("b"), waiting("x")], 2, deletes=["x"], known=frozenset({"uid-of-x"})
    ),
    "a pool of none keeps none there": Case(many(leaving, 2), 0, deletes=["00", "01"]),
    "a pool of none keeps no old ones": Case(many(old, 2), 0, deletes=["00", "01"]),
}


def decide(case: Case) -> PoolPlan:
    free_pods = sort_free_pods(
        case.pods, TEMPLATE, KEYS, case.now, lambda pod: CORDONED if pod.node == CORDONED else ""
    )
    return plan(PoolWorld(case.wanted, free_pods, case.history, case.now, case.known))


@pytest.mark.parametrize("name", CASES)
def test_plan(name: str) -> None:
    case = CASES[name]
    steps = decide(case)
    assert steps.creates == case.creates
    assert [pod.name.removeprefix("warm-") for pod in steps.deletes] == list(case.deletes)
    assert [pod.name.removeprefix("warm-") for pod in steps.equips] == list(case.equips)
    assert bool(steps) is bool(case.creates or case.deletes or case.equips)


def test_it_comes_back_when_a_wait_is_over() -> None:
    case = Case([failing("a")], 3, history=FAILED)
    assert decide(case).requeue_at == NOW + timedelta(seconds=10)
    assert decide(Case([failing("a")], 3, history=FAILED, now=NOW + timedelta(seconds=11))).requeue_at == LATER


def test_it_comes_back_when_a_start_has_taken_too_long() -> None:
    assert decide(Case([starting("a")], 1)).requeue_at == NOW + LONGEST_START


def test_it_comes_back_when_a_volume_should_have_been_made() -> None:
    assert decide(Case([free("a", volume_claim="warm-a")], 1)).requeue_at == NOW + VOLUME_IS_MADE
    assert decide(Case([free("a")], 1)).requeue_at == NOW + LONGEST_START


def test_at_rest_it_does_not_come_back() -> None:
    assert decide(Case([ready("a")], 1)).requeue_at is None
