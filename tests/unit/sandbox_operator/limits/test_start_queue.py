"""Who of an owner's sandboxes may start."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from prometheus_client import REGISTRY

import sampling
from sandbox_common.api_keys import Limits
from sandbox_common.reasons import Reason
from sandbox_common.times import rfc3339
from sandbox_crds.models import Sandbox, SandboxStatus
from sandbox_operator.limits.start_queue import StartQueue
from sandbox_operator.watching.pods import Pod
from unit.sandbox_operator.counted import counted
from unit.sandbox_operator.samples import LATER, NOW, pod, ready, status

MINUTE = timedelta(minutes=1)
ENDS = replace(pod(), deletion_requested=NOW)


class Book:
    """A start queue, the limits of all owners, and the names that it has woken."""

    def __init__(
        self, running: int | None = None, sandboxes: int | None = None, starts_per_minute: int | None = None
    ) -> None:
        self.limits = Limits(running=running, sandboxes=sandboxes, starts_per_minute=starts_per_minute)
        self.called: list[str] = []
        self.start_queue = StartQueue(lambda _: self.limits, self.called.append)

    def ask(self, name: str, now: datetime = NOW, owner: str = "team") -> str:
        """The reason why this new sandbox may not start; "" if it may."""
        held = self.start_queue.ask(name, sandbox(name, owner), now)
        return held.reason if held else ""

    def ask_all(self, *names: str) -> list[str]:
        return [self.ask(name) for name in names]


def sandbox(
    name: str,
    owner: str = "team",
    *,
    uid: str = "",
    told: SandboxStatus | None = None,
    generation: int = 1,
    **spec: Any,
) -> Sandbox:
    metadata = {"name": name, "uid": uid or f"uid-of-{name}", "resourceVersion": "1", "generation": generation}
    made = Sandbox.model_validate({"metadata": metadata, "spec": {"image": "agent:1", "owner": owner, **spec}})
    return made.model_copy(update={"status": told}) if told else made


def test_without_a_limit_all_start() -> None:
    assert Book().ask_all("a", "b", "c") == ["", "", ""]


def test_without_an_owner_there_is_no_limit() -> None:
    book = Book(running=0, sandboxes=0, starts_per_minute=0)
    assert book.ask("a", owner="") == ""


def test_as_many_run_as_may_and_as_many_wait() -> None:
    book = Book(running=2)
    assert book.ask_all("a", "b") == ["", ""]
    assert book.ask_all("c", "d", "e") == [Reason.QUEUED, Reason.QUEUED, Reason.LIMIT_REACHED]
    assert book.start_queue.waiting == 2


def test_owners_do_not_share_their_limits() -> None:
    book = Book(running=1)
    assert [book.ask("a", owner="one"), book.ask("b", owner="two"), book.ask("c", owner="one")] == ["", "", "Queued"]


def test_who_has_a_place_asks_for_free() -> None:
    book = Book(running=1, starts_per_minute=1)
    assert book.ask_all("a", "a") == ["", ""]


def test_a_limit_of_none_is_none() -> None:
    assert Book(running=0).ask("a") == Reason.LIMIT_REACHED
    assert Book(starts_per_minute=0).ask("a") == Reason.LIMIT_REACHED
    assert Book(sandboxes=0).ask("a") == Reason.LIMIT_REACHED


def test_the_refusal_names_limit_value_and_owner() -> None:
    book = Book(sandboxes=1)
    book.ask("a")
    held = book.start_queue.ask("b", sandbox("b"), NOW)
    assert held is not None
    assert held.message == "Owner team has reached its limit sandboxes=1: 1 sandbox exists, paused ones included."
    assert held.again > NOW


def test_they_start_in_the_order_of_asking() -> None:
    book = Book(running=1)
    assert book.ask_all("a", "b", "c") == ["", "Queued", "LimitReached"]
    book.limits = Limits(running=2)
    assert book.ask("c") == Reason.QUEUED, "b comes first"
    book.start_queue.limits_changed()
    assert book.called == ["b"]
    assert book.ask("b") == ""
    assert book.called == ["b", "c"]
    assert book.ask("c") == Reason.QUEUED


def test_how_long_it_was_held_back_is_counted_when_it_may_start() -> None:
    book = Book(running=1)
    with counted() as found:
        book.ask_all("a", "b")
    assert found == {}
    name = "openhands_sandbox_operator_held_back_seconds_sum"
    before = REGISTRY.get_sample_value(name) or 0
    book.limits = Limits(running=2)
    with counted() as found:
        assert book.ask("b", NOW + MINUTE) == ""
        assert book.ask("b", NOW + MINUTE) == ""
    assert found == {"held_back_seconds": 1}
    assert (REGISTRY.get_sample_value(name) or 0) - before == 60


def test_one_that_a_finalizer_keeps_counts_until_its_pod_ends() -> None:
    book = Book(running=1, sandboxes=2)
    assert book.ask_all("a", "b") == ["", "Queued"]
    deleted = sandbox("a")
    deleted = deleted.model_copy(update={"metadata": deleted.metadata.model_copy(update={"deletion_timestamp": "now"})})
    book.start_queue.look("a", deleted, pod())
    assert book.called == []
    book.start_queue.look("a", deleted, pod(deletion_requested=NOW))
    assert book.called == ["b"]
    assert (book.ask("b"), book.ask("c")) == ("", "LimitReached")
    book.start_queue.look("a", deleted, None)
    book.limits = Limits(running=9, sandboxes=2)
    assert book.ask_all("c", "d") == ["", "LimitReached"]


def test_a_place_that_is_given_up_goes_to_who_waits_longest() -> None:
    book = Book(running=2)
    book.ask_all("a", "b", "c", "d")
    book.start_queue.forget("a")
    assert book.called == ["c"]
    assert book.ask("d") == Reason.QUEUED
    book.start_queue.forget("b")
    book.called.clear()
    assert book.ask("c") == ""
    assert book.called == ["d"], "there may be room for more than one"
    assert book.ask("d") == ""


def test_a_paused_sandbox_gives_its_place_up_when_its_pod_ends() -> None:
    book = Book(running=1)
    book.ask_all("a", "b")
    book.start_queue.look("a", sandbox("a", suspend=True), ready())
    assert book.ask("b") == Reason.QUEUED
    book.start_queue.look("a", sandbox("a", suspend=True), ENDS)
    assert book.ask("b") == ""
    assert book.ask("a") == Reason.QUEUED, "resumed"


def test_a_pod_that_somebody_else_ends_keeps_its_place() -> None:
    book = Book(running=1)
    book.ask_all("a", "b")
    book.start_queue.look("a", sandbox("a"), ENDS)
    book.start_queue.look("a", sandbox("a"), None)
    assert book.ask_all("a", "b") == ["", "Queued"]


def test_what_ran_before_waits_and_is_never_refused() -> None:
    book = Book(running=1, sandboxes=9)
    book.ask("a")
    resumed = [sandbox(name, told=status(Reason.SUSPENDED)) for name in ("b", "c", "d")]
    held = [book.start_queue.ask(each.metadata.name, each, NOW) for each in resumed]
    assert [each and each.reason for each in held] == [Reason.QUEUED] * 3


def test_a_deleted_sandbox_makes_room_and_a_paused_one_only_to_run() -> None:
    book = Book(running=1, sandboxes=2)
    book.ask("a")
    paused = sandbox("a", told=status(Reason.SUSPENDED, podUID=""), suspend=True)
    book.start_queue.look("a", paused, None)
    assert book.ask_all("b", "c") == ["", "LimitReached"]
    book.start_queue.forget("b")
    assert book.ask("c") == ""
    book.start_queue.forget("c")
    assert book.start_queue.ask("a", sandbox("a", told=status(Reason.SUSPENDED, podUID="")), NOW) is None


def test_whoever_was_there_may_run_again_when_no_more_may_be_there() -> None:
    book = Book(sandboxes=1)
    paused = status(Reason.SUSPENDED, podUID="")
    book.start_queue.look("a", sandbox("a", told=paused, suspend=True), None)
    assert book.start_queue.ask("a", sandbox("a", told=paused), NOW) is None


def test_a_start_that_the_cluster_refuses_takes_nothing() -> None:
    book = Book(running=1, sandboxes=1)
    book.ask("a")
    book.start_queue.withdraw("a", sandbox("a"), None)
    assert book.ask("b") == ""


def test_a_start_that_the_cluster_refuses_again_and_again_does_not_use_up_the_minute() -> None:
    book = Book(starts_per_minute=2)
    for _ in range(5):
        assert book.ask("a") == ""
        book.start_queue.withdraw("a", sandbox("a"), None)
    assert book.ask_all("b", "c", "d") == ["", "", "Queued"]


def test_who_waits_and_has_a_pod_after_all_waits_no_more() -> None:
    """The answer to an earlier request was lost, and the sandbox was paused and resumed meanwhile."""
    book = Book(running=1)
    assert book.ask_all("a", "b") == ["", "Queued"]
    book.start_queue.look("b", sandbox("b"), ready())
    assert book.start_queue.waiting == 0
    book.start_queue.forget("a")
    assert book.ask("c") == Reason.QUEUED
    book.start_queue.forget("b")
    assert book.ask("c") == ""


def test_one_without_an_owner_takes_no_place_of_an_earlier_one_of_its_name() -> None:
    book = Book(running=1)
    book.ask("a")
    book.start_queue.look("a", sandbox("a", "", uid="another"), None)
    assert book.ask("b") == ""


def test_after_a_change_of_leaders_limited_starts_wait_for_what_was_asked_for_before() -> None:
    limits = {"team": Limits(running=1)}
    start_queue = StartQueue(lambda owner: limits.get(owner, Limits()), lambda _: None)
    start_queue.began(NOW)
    at = NOW + timedelta(seconds=2)
    assert start_queue.ready_at(sandbox("a"), NOW) == at
    assert start_queue.ready_at(sandbox("a"), at) is None
    assert start_queue.ready_at(sandbox("a", "others"), NOW) is None


def test_with_a_pod_there_is_nothing_to_withdraw() -> None:
    book = Book(running=1)
    book.ask("a")
    book.start_queue.withdraw("a", sandbox("a"), ready())
    assert book.ask("b") == Reason.QUEUED


def test_starts_are_counted_within_any_minute() -> None:
    book = Book(starts_per_minute=2)
    assert book.ask("a") == ""
    assert book.ask("b", NOW + MINUTE / 2) == ""
    held = book.start_queue.ask("c", sandbox("c"), NOW + MINUTE / 2)
    assert held
    assert held.reason is Reason.QUEUED
    assert "startsPerMinute=2" in held.message
    assert held.again == NOW + MINUTE / 2 + timedelta(seconds=15)
    last = book.start_queue.ask("c", sandbox("c"), NOW + MINUTE - timedelta(seconds=1))
    assert last
    assert last.again == NOW + MINUTE
    assert book.ask("c", NOW + MINUTE) == ""
    assert book.ask("d", NOW + MINUTE) == Reason.QUEUED


def test_who_could_not_start_within_four_minutes_is_refused() -> None:
    book = Book(starts_per_minute=1)
    names = [f"s{number}" for number in range(6)]
    assert book.ask_all(*names) == ["", *["Queued"] * 4, "LimitReached"]


def test_another_sandbox_of_the_same_name_begins_anew() -> None:
    book = Book(sandboxes=1, starts_per_minute=1)
    book.ask("a")
    book.ask("a")
    held = book.start_queue.ask("a", sandbox("a", uid="another"), NOW)
    assert held
    assert "startsPerMinute" in held.message


@pytest.mark.parametrize(
    ("known", "its_pod", "takes"),
    [
        (sandbox("a"), None, False),
        (sandbox("a"), pod(), True),
        (sandbox("a", told=status(Reason.READY)), ready(), True),
        (sandbox("a", told=status(Reason.READY)), ENDS, True),
        (sandbox("a", told=status(Reason.READY)), None, True),
        (sandbox("a", told=status(Reason.READY), generation=3), ENDS, False),
        (sandbox("a", told=status(Reason.SUSPENDED, podUID=""), suspend=True), None, False),
        (sandbox("a", told=status(Reason.SUSPENDING), suspend=True), ENDS, False),
        (sandbox("a", told=status(Reason.READY), suspend=True), ready(), True),
    ],
)
def test_a_new_term_reads_who_runs(known: Sandbox, its_pod: Pod | None, takes: bool) -> None:
    """The sixth: resumed while its pod ended, which nobody has told."""
    book = Book(running=1)
    book.start_queue.restore("a", known, its_pod, LATER)
    assert book.ask("b") == (Reason.QUEUED if takes else "")


def test_turns_go_by_the_second_and_then_by_name() -> None:
    """As gateways tell them, which know no more."""
    book = Book(running=3)
    book.ask_all("x", "y", "z")
    for name, milliseconds in (("c", 10), ("b", 999), ("a", 1000)):
        assert book.ask(name, NOW.replace(microsecond=0) + timedelta(milliseconds=milliseconds)) == Reason.QUEUED
    for leaves, next_ in (("x", "b"), ("y", "c"), ("z", "a")):
        book.called.clear()
        book.start_queue.forget(leaves)
        assert book.called == [next_]
        assert book.ask(next_) == ""


def test_a_new_term_keeps_the_places_of_those_who_wait() -> None:
    book = Book(running=1)
    book.start_queue.restore("a", sandbox("a", told=status(Reason.READY)), ready(), LATER)
    for name, since in (("late", LATER), ("early", NOW)):
        condition = {"type": "Ready", "status": "False", "reason": "Queued", "lastTransitionTime": rfc3339(since)}
        queued = SandboxStatus.model_validate({"conditions": [condition]})
        book.start_queue.restore(name, sandbox(name, told=queued), None, LATER)
    book.start_queue.forget("a")
    assert book.called == ["early"]


def test_a_new_term_knows_the_starts_of_the_last_minute_and_all_sandboxes() -> None:
    book = Book(starts_per_minute=1)
    book.start_queue.restore("a", sandbox("a", told=status(Reason.READY)), ready(), LATER)
    assert book.ask("b", LATER) == Reason.QUEUED
    assert book.ask("b", NOW + MINUTE) == ""
    book = Book(sandboxes=1)
    book.start_queue.restore("a", sandbox("a", told=status(Reason.SUSPENDED, podUID=""), suspend=True), None, LATER)
    assert book.ask("b") == Reason.LIMIT_REACHED


class Crowd(RuleBasedStateMachine):
    """Sandboxes of one owner that come, start, pause, resume, lose pods and go, counted independently of the queue."""

    NAMES = st.sampled_from([f"s{number}" for number in range(8)])
    RUNNING, SANDBOXES, STARTS = 3, 5, 4

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.book = Book(running=self.RUNNING, sandboxes=self.SANDBOXES, starts_per_minute=self.STARTS)
        self.wanted: dict[str, bool] = {}
        self.pods: dict[str, Pod] = {}
        self.launched: set[str] = set()
        self.robbed: set[str] = set()
        """Those whose pod somebody else has ended: another one is no start."""
        self.starts: list[datetime] = []

    def sandbox(self, name: str) -> Sandbox:
        told = status(Reason.READY if name in self.pods else Reason.SUSPENDED, podUID="", launch="Cold")
        return sandbox(name, told=told if name in self.launched else None, suspend=not self.wanted[name])

    def reconcile(self, name: str) -> None:
        """One pass of the operator over this sandbox."""
        known, its_pod = self.sandbox(name), self.pods.get(name)
        self.book.start_queue.look(name, known, its_pod)
        if its_pod and not self.wanted[name]:
            self.pods[name] = replace(its_pod, deletion_requested=self.now)
        elif self.wanted[name] and its_pod is None:
            if self.book.start_queue.ask(name, known, self.now) is None:
                self.begin(name)
        else:
            self.book.start_queue.withdraw(name, known, its_pod)

    def begin(self, name: str) -> None:
        self.pods[name] = ready()
        self.launched.add(name)
        if name not in self.robbed:
            self.starts.append(self.now)
        self.robbed.discard(name)

    @property
    def started_lately(self) -> int:
        return sum(self.now - start < MINUTE for start in self.starts)

    @rule(name=NAMES)
    def create_or_resume(self, name: str) -> None:
        self.wanted[name] = True
        self.reconcile(name)

    @rule(name=NAMES)
    def pause(self, name: str) -> None:
        if name in self.wanted:
            self.wanted[name] = False
            self.robbed.discard(name)
            self.reconcile(name)
            self.reconcile(name)

    @rule(name=NAMES)
    def end_pod(self, name: str) -> None:
        if name in self.pods:
            if not self.pods.pop(name).deletion_requested:
                self.robbed.add(name)
            self.reconcile(name)

    @rule(name=NAMES)
    def delete(self, name: str) -> None:
        if self.wanted.pop(name, None) is not None:
            self.pods.pop(name, None)
            self.launched.discard(name)
            self.robbed.discard(name)
            self.book.start_queue.forget(name)

    @rule(seconds=st.integers(1, 90))
    def wait(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule()
    def answer_calls(self) -> None:
        """Those who are called are looked at, until nobody is called any more."""
        while self.book.called:
            if (name := self.book.called.pop(0)) in self.wanted:
                self.reconcile(name)

    @invariant()
    def limits_hold(self) -> None:
        assert sum(its.deletion_requested is None for its in self.pods.values()) <= self.RUNNING
        assert len(self.launched) <= self.SANDBOXES
        assert self.started_lately <= self.STARTS

    @rule()
    def a_minute_later_there_is_room_for_all_who_fit(self) -> None:
        """Nobody is forgotten: with as much room as there can be, a look at each leaves none that could start."""
        self.now += MINUTE
        for name in list(self.wanted):
            self.reconcile(name)
        self.answer_calls()
        for name in [each for each, wants in self.wanted.items() if wants and each not in self.pods]:
            full = self.started_lately == self.STARTS or len(self.pods) >= self.RUNNING
            assert full or len(self.launched | {name}) > self.SANDBOXES


TestCrowd = Crowd.TestCase
TestCrowd.settings = settings(max_examples=sampling.count(60, 200), stateful_step_count=40)
