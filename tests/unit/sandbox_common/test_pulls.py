"""What people read about a pull, at its beginning and at each moment of it."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_common.pulls import late_at, pull_words, pull_words_at
from sandbox_crds.models import Pull

START = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
KNOWN = Pull(
    image="python:3.12", node="n1", start_time="2026-11-23T12:00:00Z", size_bytes=812_000_000, expected_seconds=90
)
WHAT = "Node n1 has been pulling image python:3.12 (at most 812 MB compressed) since 2026-11-23T12:00:00Z."
THEN = "Then the agent server boots."


@pytest.mark.parametrize(
    ("after", "prediction"),
    [
        (0, "About 90 s are left."),
        (50.4, "About 40 s are left."),
        (89.5, "It is expected to take about 90 s."),
        (114, "It is expected to take about 90 s."),
        (114.5, "It was expected to take about 90 s, and takes longer."),
        (9000, "It was expected to take about 90 s, and takes longer."),
        # This clock is behind the kubelet's.
        (-5, "About 90 s are left."),
    ],
)
def test_a_prediction_is_never_in_the_past(after: float, prediction: str) -> None:
    assert pull_words_at(KNOWN, START + timedelta(seconds=after)) == f"{WHAT} {prediction} {THEN}"


def test_what_stays_names_no_time_to_come() -> None:
    assert pull_words(KNOWN, late=False) == f"{WHAT} It is expected to take about 90 s. {THEN}"
    assert pull_words(KNOWN, late=True) == f"{WHAT} It was expected to take about 90 s, and takes longer. {THEN}"


def test_what_is_not_known_is_not_said() -> None:
    pull = Pull(image="a", start_time="2026-11-23T12:00:00Z")
    words = f"The node has been pulling image a since 2026-11-23T12:00:00Z. {THEN}"
    assert pull_words(pull, late=False) == pull_words_at(pull, START + timedelta(hours=1)) == words
    assert late_at(pull) is None


@pytest.mark.parametrize(
    ("size", "seconds", "words"),
    [
        (1, 1, "1 MB, 1 s"),
        (999_000_000, 119, "999 MB, 119 s"),
        (1_000_000_000, 120, "1.0 GB, 2 min"),
        (2**50, 7 * 24 * 3600, "1125899.9 GB, 168 h"),
    ],
)
def test_sizes_and_spans(size: int, seconds: int, words: str) -> None:
    said = pull_words(KNOWN.model_copy(update={"size_bytes": size, "expected_seconds": seconds}), late=False)
    for word in words.split(", "):
        assert f" {word}" in said


@given(st.integers(0, 2**31), st.floats(-1e6, 1e9))
def test_any_moment_has_words(expected: int, after: float) -> None:
    pull = KNOWN.model_copy(update={"expected_seconds": expected})
    said = pull_words_at(pull, START + timedelta(seconds=after))
    assert said.startswith(WHAT)
    assert said.endswith(THEN)
    assert "-" not in said.removeprefix(WHAT)
