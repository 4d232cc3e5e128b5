"""The kubelet's words about pulls, and what is expected of the next one."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_operator.watching.pulls import FinishedPull, PullEvent, Pulls, PullUnderWay, decode, estimate

START = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
MB = 10**6
SIZES = {"other": 100 * MB}
DAY = 86400


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def body(reason: str, note: str, **fields: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "e", "creationTimestamp": "2026-11-23T12:00:00Z"},
        "reason": reason,
        "note": note,
        "type": "Normal",
        "regarding": {"kind": "Pod", "name": "one", "uid": "uid-1"},
        "deprecatedSource": {"component": "kubelet", "host": "node-1"},
        **fields,
    }


def began(seconds: float, image: str = "a", pod: str = "uid-1", node: str = "node-1") -> PullEvent:
    return PullEvent(pod, pod, image, node, at(seconds))


def ended(
    seconds: float, took: float, size: int, image: str = "a", pod: str = "uid-1", node: str = "node-1"
) -> PullEvent:
    return PullEvent(pod, pod, image, node, at(seconds), took, size)


def known(*events: PullEvent) -> Pulls:
    pulls = Pulls()
    for event in events:
        pulls.see(event)
    return pulls


def size_of(image: str) -> int:
    return SIZES.get(image, 0)


def under_way(pulls: Pulls, pod: str, now: float, waiting: Iterable[str] = ()) -> PullUnderWay | None:
    all_waiting = set(waiting)
    return pulls.of(pod, "node-1", lambda _, uid: uid in all_waiting, at(now), size_of)


@pytest.mark.parametrize(
    ("reason", "note", "image", "seconds", "size"),
    [
        ("Pulling", 'Pulling image "x:1"', "x:1", None, 0),
        (
            "Pulled",
            'Successfully pulled image "x:1" in 2.345s (4.1s including waiting). Image size: 123 bytes.',
            "x:1",
            2.345,
            123,
        ),
        (
            "Pulled",
            'Successfully pulled image "r:5000/x@sha256:0" in 1m2.5s (1h2m3s including waiting). Image size: 9 bytes.',
            "r:5000/x@sha256:0",
            62.5,
            9,
        ),
        (
            "Pulled",
            'Successfully pulled image "x" in 250ms (1s including waiting). Image size: 5 bytes.',
            "x",
            0.25,
            5,
        ),
        # Kubernetes 1.26 to 1.29
        ("Pulled", 'Successfully pulled image "x" in 2.3s (2.3s including waiting)', "x", 2.3, 0),
        ("Pulled", 'Successfully pulled image "x" in 2.3s', "x", 2.3, 0),
    ],
)
def test_the_words_of_kubelets(reason: str, note: str, image: str, seconds: float | None, size: int) -> None:
    expected = PullEvent("uid-1", "one", image, "node-1", START, seconds, size)
    assert decode(body(reason, note)) == expected


@pytest.mark.parametrize(
    ("reason", "note"),
    [
        ("Pulled", 'Container image "x" already present on machine'),
        ("Pulled", ""),
        ("Pulling", "Pulling image"),
        ("Pulling", 'Successfully pulled image "x" in 2s'),
        ("Pulled", f'Successfully pulled image "x" in 2s (2s including waiting). Image size: {"9" * 5000} bytes.'),
        ("Failed", 'Failed to pull image "x": Pulling image "x"'),
        ("Created", "Created container"),
    ],
)
def test_other_words(reason: str, note: str) -> None:
    event = decode(body(reason, note))
    assert event is None or (event.seconds == 2 and event.size == 0)


@pytest.mark.parametrize("words", ["9999999999999s", "9" * 400 + "h", "9" * 5000 + "ns", "172800s", "0s"])
def test_an_absurd_duration_teaches_nothing(words: str) -> None:
    note = f'Successfully pulled image "other" in {words} (1s including waiting). Image size: 1 bytes.'
    event = decode(body("Pulled", note))
    assert event
    pulls = known(event, began(1, "other", "uid-2"))
    assert under_way(pulls, "uid-2", 2, ["uid-2"]) == PullUnderWay("other", "node-1", at(1), 100 * MB)


def test_an_absurd_size_makes_no_absurd_time() -> None:
    pulls = known(ended(0, 3000, 1, "z", "uid-0"), began(1, "other", "uid-2"))
    found = pulls.of("uid-2", "node-1", lambda _, __: True, at(2), lambda _: 10**30)
    assert found
    assert found.expected_seconds <= DAY


@pytest.mark.parametrize("year", ["0001", "9999"])
def test_an_event_of_an_absurd_year_is_none_of_a_pull(year: str) -> None:
    time = f"{year}-01-01T00:00:00Z"
    assert decode(body("Pulling", 'Pulling image "x"', deprecatedLastTimestamp=time)) is None


def test_what_is_no_event_is_refused() -> None:
    with pytest.raises(ValueError, match="not an Event"):
        decode({"metadata": {}})


@given(st.text(max_size=80), st.sampled_from(["Pulled", "Pulling"]))
def test_no_words_do_harm(text: str, reason: str) -> None:
    for note in (text, f'Successfully pulled image "x" in {text}', f'Pulling image "{text}"'):
        event = decode(body(reason, note))
        assert event is None or event.image


def test_a_pull_is_under_way_from_its_beginning_to_its_end() -> None:
    pulls = known(began(0))
    assert under_way(pulls, "uid-1", 1) == PullUnderWay("a", "node-1", START)
    assert under_way(pulls, "uid-2", 1) is None
    pulls.see(ended(5, 5, 100 * MB))
    assert under_way(pulls, "uid-1", 6) is None
    pulls.see(began(9))
    assert under_way(pulls, "uid-1", 9) is not None


def test_the_order_of_events_does_not_matter() -> None:
    events = [
        began(0), ended(10, 10, 100 * MB), began(1, "b", "uid-2"), began(2, "other", "uid-3"),
        ended(21, 11, 110 * MB, "b", "uid-2"),
    ]  # fmt: skip
    found = {under_way(known(*order), "uid-3", 22, ["uid-3"]) for order in permutations(events)}
    assert found == {PullUnderWay("other", "node-1", at(2), 100 * MB, 29.0)}
    # A list after a break of the watch brings the same ones again.
    assert under_way(known(*events, *events), "uid-3", 22, ["uid-3"]) in found


def test_the_latest_of_two_images_of_a_pod_counts() -> None:
    pulls = known(began(0, "a"), ended(3, 3, MB, "a"), began(4, "b"))
    found = under_way(pulls, "uid-1", 5)
    assert found
    assert found.image == "b"


def test_the_first_pull_of_all_has_no_prediction() -> None:
    found = under_way(known(began(0, "other")), "uid-1", 1)
    assert found == PullUnderWay("other", "node-1", START, 100 * MB, 0.0)


def test_an_image_of_unknown_size_has_no_prediction() -> None:
    found = under_way(known(ended(0, 10, 100 * MB), began(1, "strange")), "uid-1", 2)
    assert found == PullUnderWay("strange", "node-1", at(1))


def test_an_image_that_another_node_has_pulled_has_its_size() -> None:
    pulls = known(ended(0, 10, 100 * MB, node="node-2"), began(20, "a", "uid-9"))
    assert under_way(pulls, "uid-9", 21) == PullUnderWay("a", "node-1", at(20), 100 * MB, 10.0)


def test_what_was_there_already_teaches_nothing() -> None:
    pulls = known(ended(0, 10, 100 * MB), ended(1, 0.05, 100 * MB, pod="uid-2"), began(9, "other", "uid-3"))
    found = under_way(pulls, "uid-3", 9)
    assert found
    assert found.expected_seconds == 10


def test_pulls_wait_for_one_another() -> None:
    learned = ended(0, 10, 100 * MB, "z", "uid-0")
    queue = [began(0, "b", "uid-1"), began(0, "c", "uid-2"), began(1, "c", "uid-3"), began(2, "other", "uid-4")]
    pulls = known(learned, *queue)
    waiting = ["uid-1", "uid-2", "uid-3", "uid-4"]
    found = under_way(pulls, "uid-4", 3, waiting)
    assert found
    # c is pulled once, for two pods; b and c are taken to be as large as the image that waits.
    assert found.expected_seconds == 28
    # A pod that is gone, or whose pull has failed, keeps nobody waiting.
    found = under_way(pulls, "uid-4", 3, ["uid-4"])
    assert found
    assert found.expected_seconds == 10


def test_pulls_side_by_side_share_the_network() -> None:
    # Two at a time, 100 MB each in 20 s: 10 MB/s in all.
    learned = [ended(20, 20, 100 * MB, "y", "uid-8"), ended(20, 20, 100 * MB, "z", "uid-9")]
    alone = under_way(known(*learned, began(30, "other", "uid-2")), "uid-2", 31, ["uid-2"])
    assert alone
    assert alone.expected_seconds == 10
    pulls = known(*learned, began(30, "y", "uid-1", "node-1"), began(30, "small", "uid-3"), began(30, "other", "uid-2"))
    found = pulls.of("uid-2", "node-1", lambda _, __: True, at(31), {**SIZES, "y": 0, "small": 20 * MB}.__getitem__)
    assert found
    assert found.expected_seconds == 22


def test_a_pull_that_has_failed_makes_no_other_look_faster() -> None:
    # Two at a time, 100 MB each in 20 s: 10 MB/s in all.
    learned = [ended(20, 20, 100 * MB, "y", "uid-8"), ended(20, 20, 100 * MB, "z", "uid-9")]
    failed = [began(0, "bad", f"uid-bad-{number}") for number in range(8)]
    found = under_way(known(*learned, *failed, began(30, "other", "uid-2")), "uid-2", 31, ["uid-2"])
    assert found
    assert found.expected_seconds == 10


def test_a_pull_that_takes_too_long_moves_those_behind_it() -> None:
    pulls = known(ended(0, 10, 100 * MB, "z", "uid-0"), began(0, "b", "uid-1"), began(0, "other", "uid-2"))
    found = under_way(pulls, "uid-2", 50, ["uid-1", "uid-2"])
    assert found
    assert found.expected_seconds == 60


@given(st.lists(st.tuples(st.floats(1, 1e4), st.integers(1, 2**50)), min_size=1, max_size=20), st.integers(1, 2**50))
def test_an_estimate_is_within_what_was_seen(samples: list[tuple[float, int]], size: int) -> None:
    rates = [sample / seconds for seconds, sample in samples]
    seconds = estimate(samples, size)
    assert seconds
    assert size / max(rates) * 0.999 <= seconds <= size / min(rates) * 1.001


def test_one_odd_pull_misleads_nobody() -> None:
    steady = [(10.0, 100 * MB)] * 4
    assert estimate([(0.9, 100 * MB), *steady], 100 * MB) == 10
    assert estimate([(500.0, 100 * MB), *steady], 100 * MB) == 10


def test_a_change_of_the_network_is_learned() -> None:
    assert estimate([(40.0, 100 * MB)] * 4 + [(10.0, 100 * MB)] * 12, 100 * MB) == 40


def test_the_pulls_of_a_pod_that_have_ended() -> None:
    of_two = began(5, "b"), ended(9, 4, MB, "b"), began(0, "a"), ended(3, 3, MB, "a")
    pulls = known(*of_two, began(1, "c"), ended(2, 1, MB, "d"))
    assert pulls.finished("uid-1") == [FinishedPull("a", at(0), at(3)), FinishedPull("b", at(5), at(9))]
    pulls.see(began(10, "a"))
    assert pulls.finished("uid-1") == [FinishedPull("b", at(5), at(9))]
    assert pulls.finished("uid-2") == []
