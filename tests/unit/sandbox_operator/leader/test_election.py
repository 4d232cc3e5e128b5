"""The election as one candidate sees it."""

import math

import pytest

from sandbox_operator.leader.election import READ, Election, LeaseRecord, Step, Timing, Wait, Write

TIMING = Timing(duration=8, renew=2, deadline=5)
NOBODY = ""


def record(version: int, holder: str, duration: float = 8, transitions: int = 0) -> LeaseRecord:
    return LeaseRecord(version, holder, duration, transitions)


@pytest.fixture
def me() -> Election:
    return Election("me", TIMING)


def leading(me: Election, at: float = 100.0) -> LeaseRecord:
    """Make it the leader by a write that was sent at this time; gives the Lease as it is then."""
    won = record(5, "me")
    me.written(won, sent_at=at, now=at + 0.5)
    return won


def test_it_reads_first_and_leads_not(me: Election) -> None:
    assert me.step(0) == READ
    assert not me.leads(0)
    assert me.fence == -math.inf


def test_without_a_lease_it_makes_one(me: Election) -> None:
    me.absent(0)
    assert me.step(0) == Write(None)


def test_a_lease_that_nobody_holds_is_taken_at_once(me: Election) -> None:
    free = record(3, NOBODY)
    me.observe(free, 0)
    assert me.step(0) == Write(free)


def test_one_that_is_held_is_taken_its_own_duration_after_it_was_last_seen_to_change(me: Election) -> None:
    me.observe(record(3, "other", duration=3), 10)
    assert me.step(10) == Wait(13)
    me.observe(record(3, "other", duration=3), 12)
    assert me.step(12) == Wait(13), "the same state again is no change"
    newer = record(4, "other", duration=20)
    me.observe(newer, 12.5)
    assert me.step(13) == Wait(32.5)
    assert me.step(32.5) == Write(newer)


def test_an_older_state_is_nothing(me: Election) -> None:
    me.observe(record(4, "other"), 10)
    me.observe(record(3, NOBODY), 11)
    assert me.step(11) == Wait(18)


def test_an_older_state_counts_if_it_is_the_present_one(me: Election) -> None:
    leading(me, at=100)
    me.doubt()
    me.observe(record(1, "me"), 101, present=True)
    assert me.leads(101)
    assert me.record == record(1, "me")
    me.observe(record(1, "other"), 101.5, present=True)
    assert not me.leads(101.5), "somebody else had the Lease when the snapshot was taken"
    assert me.step(101.5) == Wait(109.5)


def test_it_leads_from_the_answer_until_its_deadline_after_the_request(me: Election) -> None:
    won = leading(me, at=100)
    assert me.record == won
    assert me.fence == 105
    assert (me.leads(100.5), me.leads(104.999), me.leads(105)) == (True, True, False)


def test_it_renews_in_time_and_leads_on(me: Election) -> None:
    won = leading(me, at=100)
    assert me.step(100.5) == Wait(102)
    assert me.step(102) == Write(won)
    me.written(record(6, "me"), sent_at=102, now=103)
    assert me.fence == 107
    assert me.step(103) == Wait(104)


def test_an_answer_that_comes_too_late_makes_no_leader(me: Election) -> None:
    me.written(record(5, "me"), sent_at=100, now=106)
    assert not me.leads(106)


def test_a_failure_leaves_the_fence_and_is_followed_by_a_look(me: Election) -> None:
    leading(me, at=100)
    me.failed(102)
    assert me.fence == 105
    assert me.step(102.1) == Wait(102.5)
    assert me.step(102.5) == READ
    renewed = record(6, "me")
    me.observe(renewed, 103)
    assert me.fence == 105, "somebody's renewal, perhaps an own one, but of an unknown time"
    assert me.step(103) == Write(renewed)


def test_it_ends_when_another_has_the_lease(me: Election) -> None:
    leading(me)
    me.observe(record(6, "other"), 101)
    assert not me.leads(101)
    assert me.step(101) == Wait(109)


def test_an_answer_that_was_overtaken_makes_no_leader(me: Election) -> None:
    me.observe(record(9, "other"), 100)
    me.written(record(5, "me"), sent_at=99, now=100)
    assert not me.leads(100)


def test_a_release_is_heeded_at_once_even_after_a_failure(me: Election) -> None:
    me.observe(record(3, "other"), 0)
    me.failed(1)
    free = record(4, NOBODY)
    me.observe(free, 1.1)
    assert me.step(1.1) == Write(free)


def test_doubt_makes_it_read(me: Election) -> None:
    me.observe(record(3, "other"), 0)
    me.doubt()
    assert me.step(0) == READ


def test_who_had_a_lease_that_was_deleted_is_given_its_time(me: Election) -> None:
    me.observe(record(3, "other", duration=3), 0)
    me.absent(10)
    assert me.step(10) == Wait(13)
    assert me.step(13) == Write(None)


def test_a_leader_whose_lease_was_deleted_makes_it_again(me: Election) -> None:
    leading(me, at=100)
    me.absent(101)
    assert me.leads(101)
    assert me.step(101) == Write(None)


def test_after_its_resignation_it_writes_no_more(me: Election) -> None:
    leading(me)
    me.resign()
    assert not me.leads(100.5)
    assert me.fence == -math.inf


def test_one_whose_fence_has_passed_tries_at_once(me: Election) -> None:
    won = leading(me, at=100)
    assert me.step(105) == Write(won)


@pytest.mark.parametrize(
    ("timing", "retry", "call"), [(TIMING, 0.5, 1.5), (Timing(duration=2, renew=0.5, deadline=1.25), 0.125, 0.375)]
)
def test_two_requests_fit_between_renewal_and_deadline(timing: Timing, retry: float, call: float) -> None:
    assert (timing.retry, timing.call) == (retry, call)


def test_steps_are_told_apart() -> None:
    steps: list[Step] = [Wait(1), READ, Write(None)]
    assert len(set(steps)) == 3
