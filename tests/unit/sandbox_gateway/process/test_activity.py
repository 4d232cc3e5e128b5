"""The gateway's memory of who used what."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from sandbox_common.activity import Use
from sandbox_gateway.process.activity import Activity


@dataclass
class Clock:
    """A monotonic clock that is set by hand."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_sandbox_is_busy_until_its_last_exchange_ends() -> None:
    clock = Clock()
    activity = Activity(clock)
    activity.begin("a")
    activity.begin("a")
    clock.now += 100
    activity.end("a")
    clock.now += 5
    assert activity.report().sandboxes == {"a": Use(1, 0.0)}
    activity.end("a")
    clock.now += 7
    assert activity.report().sandboxes == {"a": Use(0, 7.0)}


def test_a_touch_counts_for_one_moment() -> None:
    clock = Clock()
    activity = Activity(clock)
    activity.touch("a")
    clock.now += 3
    assert activity.report().sandboxes == {"a": Use(0, 3.0)}


def test_uptime_is_the_age_of_the_memory() -> None:
    clock = Clock()
    activity = Activity(clock)
    clock.now += 12.5
    assert activity.report().uptime_seconds == 12.5


def test_within_leaves_out_what_is_older_but_nothing_in_flight() -> None:
    clock = Clock()
    activity = Activity(clock)
    activity.begin("streaming")
    activity.touch("old")
    clock.now += 50
    activity.touch("fresh")
    clock.now += 10
    assert activity.report(10).sandboxes == {"streaming": Use(1, 0.0), "fresh": Use(0, 10.0)}
    assert activity.report(9).sandboxes == {"streaming": Use(1, 0.0)}
    assert activity.report(0).sandboxes == {"streaming": Use(1, 0.0)}
    assert set(activity.report().sandboxes) == {"streaming", "old", "fresh"}


def test_an_end_after_the_sandbox_was_forgotten_brings_nothing_back() -> None:
    activity = Activity(Clock())
    activity.begin("a")
    activity.forget("a")
    activity.end("a")
    activity.forget("never begun")
    assert activity.report().sandboxes == {}


def test_a_new_sandbox_of_an_old_name_stays_busy_when_the_old_ones_exchange_ends() -> None:
    activity = Activity(Clock())
    activity.begin("a")
    activity.forget("a")
    activity.begin("a")
    activity.end("a")
    assert activity.report().sandboxes == {"a": Use(1, 0.0)}
    activity.end("a")
    assert activity.report().sandboxes == {"a": Use(0, 0.0)}


def test_memory_is_bounded_and_says_how_far_back_it_reaches() -> None:
    clock = Clock()
    activity = Activity(clock, remembered=2)
    for runtime_id in ("a", "b", "c"):
        clock.now += 10
        activity.touch(runtime_id)
    clock.now += 1
    report = activity.report()
    assert set(report.sandboxes) == {"b", "c"}
    # "a" was used 21 s ago and is not told: whoever asks must not take it for unused.
    assert report.uptime_seconds == 21


def test_what_is_in_flight_is_never_dropped_for_room() -> None:
    activity = Activity(Clock(), remembered=1)
    activity.begin("streaming")
    activity.touch("b")
    assert activity.report(0).sandboxes == {"streaming": Use(1, 0.0), "b": Use(0, 0.0)}
    activity.end("streaming")
    assert activity.report().sandboxes == {"streaming": Use(0, 0.0)}


@given(
    st.lists(st.tuples(st.sampled_from(["begin", "end", "touch", "forget"]), st.sampled_from("abc"), st.floats(0, 9))),
    st.floats(0, 30),
)
def test_reports_agree_with_a_plain_log(steps: list[tuple[str, str, float]], within: float) -> None:
    clock = Clock(0.0)
    activity = Activity(clock)
    counts = dict.fromkeys("abc", 0)
    last: dict[str, float] = {}
    for step, runtime_id, seconds in steps:
        clock.now += seconds
        if step == "end" and not counts[runtime_id]:
            continue
        getattr(activity, step)(runtime_id)
        counts[runtime_id] += {"begin": 1, "end": -1}.get(step, 0)
        if step == "forget":
            last.pop(runtime_id, None)
        elif step != "end" or runtime_id in last:
            last[runtime_id] = clock.now
    busy = {name: Use(count, 0.0) for name, count in counts.items() if count}
    idle = {name: Use(0, clock.now - then) for name, then in last.items() if not counts[name]}
    assert activity.report().sandboxes == busy | idle
    recent = {name: use for name, use in idle.items() if use.idle_seconds <= within}
    assert activity.report(within).sandboxes == busy | recent
