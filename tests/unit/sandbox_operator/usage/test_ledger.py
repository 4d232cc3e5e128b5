"""Use that is not recorded yet: nothing counts twice, and only what ended unseen is lost."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_common.usage import DAY, Days, Span, total
from sandbox_crds.models import UsageAmounts
from sandbox_crds.models.sandbox_usage import DAYS_KEPT
from sandbox_operator.usage.ledger import GATHER, LATE, PERIOD, REST_PERIOD, SETTLED, OwnerLedger

NEXT = SETTLED + PERIOD + 1

START = 20_000 * DAY - 600
"""Ten minutes before a midnight."""
RATE = UsageAmounts(running_seconds=1, cpu_millicore_seconds=250)
REST = UsageAmounts(suspended_seconds=1)
COLD = UsageAmounts(cold_starts=1)


@dataclass
class Record:
    """What the API server has of the owner."""

    days: Days = field(default_factory=dict[str, Mapping[str, UsageAmounts]])
    through: int = 0

    def flush(self, ledger: OwnerLedger, to: int) -> None:
        draft = ledger.draft(self.days, to, to)
        self.days, self.through = draft.days, draft.through
        ledger.recorded(draft)

    @property
    def seconds(self) -> int:
        return total(self.days).running_seconds

    @property
    def starts(self) -> int:
        return total(self.days).cold_starts


def span(since: int, until: int | None = None, rate: UsageAmounts = RATE) -> Span:
    return Span("default", since, rate, until, COLD if rate is RATE else UsageAmounts())


type Life = tuple[int, int]
"""When a pod begins and ends."""

lives = st.lists(
    st.tuples(st.integers(0, 1500), st.integers(0, 900)).map(lambda it: (START + it[0], START + it[0] + it[1])),
    max_size=8,
)
moments = st.lists(st.integers(0, 2600).map(lambda seconds: START + seconds), max_size=6).map(sorted)
END = START + 3000


def live(ledger: OwnerLedger, record: Record, pods: Sequence[Life], flushes: Iterable[int], begin: int = 0) -> None:
    """Show all that happens after `begin` to the ledger, in order, and write at these times."""
    happens = {time for life in pods for time in life if time > begin} | {time for time in flushes if time > begin}
    for now in sorted(happens):
        show(ledger, pods, now)
        if now in flushes:
            record.flush(ledger, now)


def show(ledger: OwnerLedger, pods: Sequence[Life], now: int, late: int = LATE) -> None:
    for number, (since, until) in enumerate(pods):
        # A pod that has ended is seen as ending for a while, or just gone.
        if since <= now < until:
            ledger.see(f"uid {number}", {"pod": span(since)}, now, late)
        elif until <= now < until + 60 and number % 2:
            ledger.see(f"uid {number}", {"pod": span(since, until)}, now, late)
        elif until <= now:
            ledger.see(f"uid {number}", {}, now, late)


@given(lives, moments)
def test_the_sum_does_not_depend_on_when_it_is_written(pods: list[Life], flushes: list[int]) -> None:
    ledger, record = OwnerLedger(), Record()
    live(ledger, record, pods, flushes)
    for end in (END, END + 1):
        show(ledger, pods, end)
        record.flush(ledger, end)
        seen = [(since, until) for number, (since, until) in enumerate(pods) if number % 2 or since < until]
        assert record.seconds == sum(until - since for since, until in seen)
        assert record.starts == len(seen)
    assert ledger.is_idle


@given(lives, moments, st.integers(0, 2600), st.integers(0, 300))
def test_after_a_kill_only_what_ended_unseen_is_lost(
    pods: list[Life], flushes: list[int], kill: int, pause: int
) -> None:
    killed, back = START + kill, START + kill + pause
    pods = [(since, until) for since, until in pods if since < until]
    record = Record()
    live(
        OwnerLedger(),
        record,
        [life for life in pods if life[0] <= killed],
        [time for time in flushes if time <= killed],
    )
    through = record.through
    ledger = OwnerLedger(through, max(record.days, default=""))
    found = [(since, until) for since, until in pods if until > back]
    show(ledger, found, back, late=0)
    live(ledger, record, found, [time for time in flushes if time > back], back)
    show(ledger, found, END)
    record.flush(ledger, END)
    lost = [(max(since, through), until) for since, until in pods if until <= back]
    whole = sum(until - since for since, until in pods)
    assert record.seconds == whole - sum(max(until - since, 0) for since, until in lost)
    assert record.starts == len(pods) - sum(until <= back and since >= through for since, until in pods)


@pytest.mark.parametrize("kind", ["gone", "ending"])
def test_what_was_recorded_beyond_the_end_is_taken_back(kind: str) -> None:
    ledger, record = OwnerLedger(), Record()
    ledger.see("uid", {"pod": span(START)}, START)
    record.flush(ledger, START + 1000)
    assert record.seconds == 1000
    ledger.see("uid", {"pod": span(START, START + 700)}, START + 1001)
    if kind == "gone":
        ledger.see("uid", {}, START + 1002)
    record.flush(ledger, START + 1300)
    record.flush(ledger, START + 1600)
    assert (record.seconds, record.starts) == (700, 1)
    assert {day: row["default"].running_seconds for day, row in record.days.items()} == {
        "2024-10-03": 600,
        "2024-10-04": 100,
    }
    assert ledger.is_idle is (kind == "gone")


def test_an_ending_pod_that_has_been_recorded_does_not_count_again() -> None:
    ledger, record = OwnerLedger(), Record()
    for now in range(START, START + 1000, 50):
        ledger.see("uid", {"pod": span(START, None if now < START + 100 else START + 100)}, now)
        record.flush(ledger, now + 10)
    assert (record.seconds, record.starts) == (100, 1)
    # Nor for the next leader.
    ledger = OwnerLedger(record.through, max(record.days))
    ledger.see("uid", {"pod": span(START, START + 100)}, START + 1000, late=0)
    record.flush(ledger, START + 1010)
    assert (record.seconds, record.starts) == (100, 1)


def test_a_span_that_comes_back_counts_a_minute_twice_at_most() -> None:
    ledger, record = OwnerLedger(), Record()
    ledger.see("uid", {"pod": span(START)}, START)
    record.flush(ledger, START + 1000)
    ledger.see("uid", {}, START + 1000)
    record.flush(ledger, START + 1010)
    ledger.see("uid", {"pod": span(START)}, START + 1020)
    record.flush(ledger, START + 1300)
    assert (record.seconds, record.starts) == (1300 + LATE - 10, 1)


def test_another_rate_counts_from_when_it_is_seen() -> None:
    ledger, record = OwnerLedger(), Record()
    small, large = UsageAmounts(storage_mebibyte_seconds=1), UsageAmounts(storage_mebibyte_seconds=10)
    ledger.see("uid", {"volume": span(START, rate=small)}, START)
    ledger.see("uid", {"volume": span(START, rate=large)}, START + 100)
    record.flush(ledger, START + 200)
    assert total(record.days).storage_mebibyte_seconds == 100 + 1000


def test_a_suspension_soon_after_another_counts_too() -> None:
    ledger, record = OwnerLedger(), Record()
    for number in range(3):
        since = START + 100 * number
        ledger.see("uid", {f"suspension {since}": span(since, rate=REST)}, since)
        ledger.see("uid", {}, since + 30)
    record.flush(ledger, START + 400)
    assert total(record.days).suspended_seconds == 90


def test_a_write_whose_answer_was_lost_counts_once() -> None:
    ledger, record = OwnerLedger(), Record()
    ledger.see("a", {"pod": span(START)}, START)
    ledger.see("b", {"pod": span(START)}, START)
    record.flush(ledger, START + 100)
    ledger.see("b", {}, START + 150)
    draft = ledger.draft(record.days, START + 200, START + 200)
    # It was carried out all the same.
    record.days, record.through = draft.days, draft.through
    ledger.rebase(record.through)
    record.flush(ledger, START + 300)
    assert (record.seconds, record.starts) == (300 + 150, 2)


def test_a_write_that_failed_is_made_good() -> None:
    ledger, record = OwnerLedger(), Record()
    ledger.see("uid", {"pod": span(START)}, START)
    ledger.draft(record.days, START + 100, START + 100)
    assert ledger.due() == START + GATHER
    ledger.see("uid", {}, START + 150)
    record.flush(ledger, START + 200)
    assert (record.seconds, record.starts) == (150, 1)


def test_what_happens_during_a_write_counts_in_the_next_one() -> None:
    ledger, record = OwnerLedger(), Record()
    ledger.see("uid", {"pod": span(START)}, START)
    draft = ledger.draft(record.days, START + 100, START + 100)
    ledger.see("uid", {"pod": span(START, START + 90)}, START + 101)
    ledger.see("other", {"pod": span(START + 95)}, START + 101)
    record.days, record.through = draft.days, draft.through
    ledger.recorded(draft)
    assert ledger.due() == START + 100 + NEXT
    record.flush(ledger, START + 200)
    assert (record.seconds, record.starts) == (90 + 105, 2)


def test_when_to_write() -> None:
    ledger, record = OwnerLedger(), Record()
    assert ledger.due() is None
    # The first write, soon after the start.
    ledger.see("uid", {"pod": span(START)}, START)
    assert ledger.due() == START + GATHER
    record.flush(ledger, START + 3)
    # While it runs, every five minutes, whatever happens.
    every = START + 3 + NEXT
    assert ledger.due() == every
    ledger.see("other", {"pod": span(START + 10)}, START + 10)
    assert ledger.due() == every
    ledger.see("other", {}, START + 20)
    ledger.see("uid", {"volume": span(START, rate=REST)}, START + 20)
    assert ledger.due() == every
    # While all are suspended, once a day.
    record.flush(ledger, every)
    assert ledger.due() == every + REST_PERIOD
    ledger.see("uid", {"volume": span(START, rate=REST)}, every + 1000)
    assert ledger.due() == every + REST_PERIOD
    # A change is written soon, if the last write was long ago.
    ledger.see("uid", {"pod": span(every + 5000), "volume": span(START, rate=REST)}, every + 5000)
    assert ledger.due() == every + 5000 + GATHER
    ledger.see("uid", {}, every + 5001)
    record.flush(ledger, every + 5003)
    # Nothing is used: only the record is deleted once its days are gone.
    last = (every + 5001) // DAY
    assert ledger.due() == (last + DAYS_KEPT) * DAY
    assert not ledger.has_expired((last + DAYS_KEPT) * DAY - 1)
    assert ledger.has_expired((last + DAYS_KEPT) * DAY)


def test_the_end_of_a_span_is_not_left_behind() -> None:
    """A periodic write comes between the end and the time at which all events have arrived."""
    ledger, record = OwnerLedger(), Record()
    ledger.see("uid", {"pod": span(START)}, START)
    record.flush(ledger, START + 10)
    ledger.see("uid", {}, START + 313)
    record.flush(ledger, START + 312)
    due = ledger.due()
    assert due == START + 312 + NEXT
    record.flush(ledger, START + 612)
    assert (record.seconds, ledger.is_idle) == (313, True)


def test_a_leader_that_finds_all_as_it_was_writes_no_sooner() -> None:
    for found, due in (
        ({"volume": span(START - 5000, rate=REST)}, REST_PERIOD),
        ({"pod": span(START - 5000)}, NEXT),
    ):
        ledger = OwnerLedger(START, "2024-10-03")
        ledger.see("uid", found, START + 60, late=0)
        assert ledger.due() == START + due


def test_an_event_takes_no_longer_with_thousands_of_sandboxes() -> None:
    """Counted in steps, since times differ from machine to machine."""

    def steps(sandboxes: int) -> int:
        ledger, number = OwnerLedger(), 0
        for each in range(sandboxes):
            ledger.see(f"uid {each}", {"pod": span(START)}, START)

        def count(*_: object) -> None:
            nonlocal number
            number += 1

        sys.setprofile(count)
        ledger.see("uid 0", {}, START + 10)
        ledger.due()
        sys.setprofile(None)
        return number

    assert steps(2000) == steps(10)
