"""No key gets into a message."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_operator.redaction import REDACTED, redacted, tail
from unit.sandbox_operator.samples import KEY_ID, KEYS

SESSION = KEYS.session_key(KEY_ID)
SECRET = KEYS.secret_key(KEY_ID)


@given(st.text(), st.text())
def test_keys_are_taken_out_wherever_they_stand(before: str, after: str) -> None:
    text = redacted(f"{before}{SESSION}{after}{SECRET}{after}", [SESSION, SECRET])
    assert SESSION not in text
    assert SECRET not in text


@pytest.mark.parametrize(
    "text",
    [
        f"key={SESSION}",
        f"{SESSION[:60]}",
        f"{SESSION.removeprefix('ohs_')} and more",
        f"a\n{SESSION}\nb {SESSION}",
    ],
)
def test_keys_of_other_sandboxes_are_known_by_their_form(text: str) -> None:
    assert SESSION.rpartition("_")[2][:20] not in redacted(text)


@pytest.mark.parametrize("length", [8, 20, 42])
def test_the_end_of_a_key_that_the_kubelet_cut_is_taken_out(length: int) -> None:
    assert redacted(f"{SECRET[-length:]} is what it was", [SECRET]) == f"{REDACTED} is what it was"


@pytest.mark.parametrize("text", ["", "ohs_", "ohs_v1-x_y", "Application startup failed", "v1-alpha_beta"])
def test_other_text_stays(text: str) -> None:
    assert redacted(text, [SESSION, SECRET]) == text


@pytest.mark.parametrize(
    ("text", "limit", "end"),
    [
        ("all of it\n", 100, "all of it"),
        ("first\nsecond\nthird", 13, "…third"),
        ("first\nsecond\nthird", 14, "…second\nthird"),
        ("0123456789", 5, "…6789"),
        ("", 5, ""),
    ],
)
def test_the_end_of_a_text(text: str, limit: int, end: str) -> None:
    assert tail(text, limit) == end


@given(st.text(), st.integers(2, 50))
def test_the_end_is_never_longer_than_asked_for(text: str, limit: int) -> None:
    assert len(tail(text, limit)) <= limit
