"""What the replicas have told, and when that is not all."""

import math

import pytest

from sandbox_common.activity import Report, Use
from sandbox_operator.idle.last_uses import ANSWER_SECONDS, LastUses

OLD = 100_000.0
TIMEOUT = 1200.0


def report(uptime: float = OLD, **idle: float) -> Report:
    """A replica's report; a sandbox with -1 s is in flight."""
    uses = {name: Use(0, seconds) if seconds >= 0 else Use(1, 0.0) for name, seconds in idle.items()}
    return Report(uptime, uses)


def heard(last_uses: LastUses, at: float, **answers: Report | None) -> None:
    last_uses.heard(answers, at - 0.1, at)


@pytest.fixture
def settled() -> LastUses:
    """Two replicas that have been followed for a while at 100."""
    last_uses = LastUses()
    for at in (0.0, 15.0, 30.0, 45.0, 60.0, 75.0, 90.0, 100.0):
        heard(last_uses, at, a=report(OLD + at), b=report(OLD + at))
    assert not last_uses.holds_back(100)
    return last_uses


def test_the_latest_use_of_all_replicas_counts(settled: LastUses) -> None:
    heard(settled, 115, a=report(OLD + 115, s=50), b=report(OLD + 115, s=7))
    heard(settled, 130, a=report(OLD + 130), b=report(OLD + 130))
    assert settled.used_at("s", TIMEOUT) == 108
    assert settled.used_at("other", TIMEOUT) == -math.inf


def test_what_is_in_flight_is_used_now(settled: LastUses) -> None:
    heard(settled, 115, a=report(OLD + 115, s=-1), b=report(OLD + 115))
    assert settled.used_at("s", TIMEOUT) == 115


def test_a_replica_that_has_answered_is_asked_for_what_is_new(settled: LastUses) -> None:
    assert settled.within("a", 112.0) == pytest.approx(112 - 99.9 + ANSWER_SECONDS)
    assert settled.within("c", 112.0) is None


def test_sandboxes_that_are_gone_are_forgotten(settled: LastUses) -> None:
    heard(settled, 115, a=report(OLD + 115, s=1, t=1), b=report(OLD + 115))
    settled.keep({"t"})
    assert settled.used_at("s", TIMEOUT) == -math.inf
    assert settled.used_at("t", TIMEOUT) == 114


def test_nobody_has_answered_yet() -> None:
    assert LastUses().holds_back(0)


def test_nobody_is_listed(settled: LastUses) -> None:
    settled.heard({}, 115, 115)
    assert settled.holds_back(1000)


@pytest.mark.parametrize("late", [5.0, 29.0])
def test_a_change_of_the_replicas_holds_back_for_two_checks(settled: LastUses, late: float) -> None:
    heard(settled, 115, a=report(OLD + 115), c=report(3))
    assert settled.holds_back(115 + late)
    assert not settled.holds_back(115 + 30)


def test_a_new_process_at_an_old_address_is_a_change(settled: LastUses) -> None:
    heard(settled, 115, a=report(4), b=report(OLD + 115))
    assert settled.holds_back(115 + 29)
    assert not settled.holds_back(115 + 30)


def test_a_silent_replica_holds_back_until_it_answers_or_goes(settled: LastUses) -> None:
    heard(settled, 115, a=report(OLD + 115), b=None)
    assert settled.holds_back(10_000)
    heard(settled, 130, a=report(OLD + 130), b=report(OLD + 130))
    assert not settled.holds_back(130)


def test_what_a_replica_said_outlives_it(settled: LastUses) -> None:
    heard(settled, 115, a=report(OLD + 115), b=report(OLD + 115, s=5))
    heard(settled, 130, a=report(OLD + 130))
    assert settled.used_at("s", TIMEOUT) == 110
    assert settled.used_at("other", TIMEOUT) == -math.inf


def test_what_a_replica_served_while_it_was_silent_for_long_is_unknown(settled: LastUses) -> None:
    for at in (115.0, 130.0, 145.0):
        heard(settled, at, a=report(OLD + at), b=None)
    heard(settled, 160, a=report(OLD + 160))
    assert settled.used_at("anyone", TIMEOUT) == 160


def test_a_process_that_was_silent_before_it_was_renewed_counts_until_the_new_one(settled: LastUses) -> None:
    for at in (115.0, 130.0, 145.0):
        heard(settled, at, a=None, b=report(OLD + at))
    heard(settled, 160, a=report(8), b=report(OLD + 160))
    assert settled.used_at("anyone", TIMEOUT) == 152


def test_one_that_went_after_two_checks_without_an_answer_counts_until_the_new_one(settled: LastUses) -> None:
    for at in (114.0, 128.0):
        heard(settled, at, a=None, b=report(OLD + at))
    heard(settled, 142, a=report(11), b=report(OLD + 142))
    assert settled.used_at("anyone", TIMEOUT) == 131


def test_a_replica_that_never_answered_counts_until_it_is_gone(settled: LastUses) -> None:
    heard(settled, 115, a=report(OLD + 115), b=report(OLD + 115), c=None)
    assert settled.within("c", 120) is None
    heard(settled, 130, a=report(OLD + 130), b=report(OLD + 130))
    assert settled.used_at("anyone", TIMEOUT) == 130


def test_a_replica_may_be_listed_long_before_its_process_starts(settled: LastUses) -> None:
    for at in (115.0, 130.0, 145.0):
        heard(settled, at, a=report(OLD + at), b=report(OLD + at), c=None)
    heard(settled, 160, a=report(OLD + 160), b=report(OLD + 160), c=report(3))
    assert settled.used_at("anyone", TIMEOUT) == -math.inf


@pytest.mark.parametrize(
    ("uptime", "used_at"),
    [
        pytest.param(TIMEOUT + 600, -math.inf, id="it has seen all of the time in question"),
        pytest.param(TIMEOUT + 599, 10.0, id="what it replaced may have served meanwhile"),
        pytest.param(1.0, 10.0, id="it is new"),
    ],
)
def test_a_new_operator_counts_from_its_beginning_what_it_cannot_know(uptime: float, used_at: float) -> None:
    last_uses = LastUses()
    heard(last_uses, 10, a=report(OLD), b=report(uptime))
    assert last_uses.used_at("s", TIMEOUT) == used_at
    # And never from later on.
    heard(last_uses, 5000, a=report(OLD + 4990), b=report(uptime + 4990))
    assert last_uses.used_at("s", TIMEOUT) == used_at


@pytest.mark.parametrize(("at", "used_at"), [(38.0, 10.0), (40.0, -math.inf)])
def test_a_replica_that_is_listed_soon_after_may_have_replaced_another(at: float, used_at: float) -> None:
    last_uses = LastUses()
    heard(last_uses, 10, a=report(OLD))
    heard(last_uses, at, a=report(OLD + at), b=report(20))
    assert last_uses.used_at("s", TIMEOUT) == used_at


@pytest.mark.parametrize("uptime", [1.0, OLD])
def test_a_young_replica_that_is_gone_soon_may_have_replaced_another(uptime: float) -> None:
    last_uses = LastUses()
    heard(last_uses, 10, a=report(1), b=report(OLD))
    heard(last_uses, 24, b=report(OLD + 14))
    heard(last_uses, 38, b=report(OLD + 28), c=report(uptime))
    assert last_uses.used_at("s", TIMEOUT) == 10


def test_its_beginning_is_when_all_have_answered() -> None:
    last_uses = LastUses()
    heard(last_uses, 10, a=report(1), b=None)
    assert last_uses.holds_back(10_000)
    heard(last_uses, 25, a=report(16), b=report(20))
    assert last_uses.used_at("s", TIMEOUT) == 25


def test_without_a_gateway_nothing_holds_back() -> None:
    last_uses = LastUses(followed=False)
    assert not last_uses.holds_back(0)
    assert last_uses.used_at("s", TIMEOUT) == -math.inf
