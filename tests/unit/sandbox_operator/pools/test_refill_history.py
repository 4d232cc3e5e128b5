"""How long a pool waits after failures."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from sandbox_common.reasons import Reason
from sandbox_operator.pools.free_pods import sort_free_pods
from sandbox_operator.pools.refill_history import LONGEST_DELAY, LONGEST_REFUSAL, SHORTEST_DELAY, Backoff, RefillHistory
from sandbox_operator.reporting.refusals import Refusal
from sandbox_operator.watching.pods import Pod
from unit.sandbox_operator.pools.samples import OLD_TEMPLATE, TEMPLATE, failing, free, ready
from unit.sandbox_operator.samples import KEYS, NOW

REFUSAL = Refusal(Reason.QUOTA_EXCEEDED, "exceeded quota: few")


def seconds(number: float) -> datetime:
    return NOW + timedelta(seconds=number)


def after(
    history: RefillHistory, pods: Sequence[Pod], now: datetime, claimed: int = 0, template: str = TEMPLATE
) -> RefillHistory:
    return history.observed(template, sort_free_pods(pods, template, KEYS, now), claimed, now)


NEW = after(RefillHistory(), [], NOW)


def test_a_backoff_doubles_up_to_its_longest() -> None:
    waits: list[float] = []
    backoff = Backoff()
    for _ in range(8):
        backoff = backoff.failed(NOW)
        assert backoff.until
        waits.append((backoff.until - NOW).total_seconds())
    assert waits == [10, 20, 40, 80, 160, 300, 300, 300]


@given(level=st.integers(0, 10**6), longest=st.sampled_from([LONGEST_DELAY, LONGEST_REFUSAL]))
def test_a_backoff_is_bounded(level: int, longest: timedelta) -> None:
    until = Backoff(level).failed(NOW, longest).until
    assert until
    assert SHORTEST_DELAY <= until - NOW <= longest


def test_pods_that_fail_together_are_one_failure() -> None:
    history = after(NEW, [failing("a"), failing("b"), failing("c")], seconds(1))
    assert history.failures == Backoff(1, seconds(11))
    assert history.finding
    assert history.finding.reason is Reason.IMAGE_PULL_BACK_OFF
    assert after(history, [failing("a"), failing("b"), failing("c"), failing("d")], seconds(2)).failures.level == 1
    assert not history.failures.is_over(seconds(10))
    assert history.failures.is_over(seconds(11))


def test_each_try_after_a_failure_makes_the_next_wait_longer() -> None:
    history = after(NEW, [failing("a")], seconds(0))
    history = history.tried(seconds(10))
    assert history.failures == Backoff(2, seconds(30))
    # The pod that was tried starts; the reason is still told.
    history = after(history, [free("b")], seconds(11))
    assert history.failures.level == 2
    assert history.finding
    history = after(history, [ready("b")], seconds(12))
    assert (history.failures, history.finding) == (Backoff(), None)


def test_tries_in_good_times_cost_nothing() -> None:
    assert NEW.tried(NOW) == NEW


def test_a_pod_that_is_claimed_as_soon_as_it_is_ready_is_luck_too() -> None:
    history = after(NEW, [failing("a"), free("b")], seconds(1))
    assert not history.proven
    history = after(history, [failing("a")], seconds(2), claimed=1)
    assert history.failures == Backoff()
    assert history.proven


def test_what_was_ready_before_is_no_news() -> None:
    history = after(RefillHistory(), [ready("a")], seconds(1))
    assert history.proven
    history = after(history, [ready("a"), failing("b")], seconds(2))
    assert history.failures.level == 1
    assert after(history, [ready("a"), failing("b")], seconds(3)).failures.level == 1


def test_a_new_template_is_a_new_beginning() -> None:
    history = after(NEW, [failing("a")], seconds(1)).answered(REFUSAL, seconds(1))
    fresh = after(history, [failing("a")], seconds(2), template=OLD_TEMPLATE)
    assert (fresh.failures, fresh.refusals, fresh.refusal, fresh.finding) == (Backoff(), Backoff(), None, None)
    assert not fresh.proven


def test_refusals_wait_by_themselves_and_end_with_an_answer() -> None:
    history = NEW.answered(REFUSAL, seconds(1))
    assert (history.refusal, history.refusals) == (REFUSAL, Backoff(1, seconds(11)))
    assert history.failures == Backoff()
    history = history.answered(REFUSAL, seconds(11))
    assert history.refusals == Backoff(2, seconds(31))
    history = history.answered(None, seconds(31))
    assert (history.refusal, history.refusals) == (None, Backoff())
