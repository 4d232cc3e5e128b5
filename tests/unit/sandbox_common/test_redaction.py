"""No key gets into a message."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_common.keys import MasterKeys
from sandbox_common.redaction import REDACTED, redacted

KEYS = MasterKeys.of({1: b"m" * 32})
KEY_ID = KEYS.key_id("6a1f0000-0000-4000-8000-000000000001")
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


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("\x1b]0;title\x07\x1b[2Jdone", "]0;title[2Jdone"),
        ("50 %\r100 %\r\n\tnext", "50 %100 %\n\tnext"),
        ("\x9b31mred\x7f\x00", "31mred"),
        (f"{SESSION[:30]}\x1b{SESSION[30:]}", REDACTED),
    ],
)
def test_terminals_are_not_steered(text: str, told: str) -> None:
    assert redacted(text, [SESSION, SECRET]) == told


@pytest.mark.parametrize("text", ["", "ohs_", "ohs_v1-x_y", "Application startup failed", "v1-alpha_beta"])
def test_other_text_stays(text: str) -> None:
    assert redacted(text, [SESSION, SECRET]) == text


@pytest.mark.parametrize(
    "unseen", ["\0", "\x1b", "\r", "\x7f", "\x9b", "\u200b", "\u202e", "\u2067", "\ufeff", "\U000e0041"]
)
def test_what_is_not_seen_is_taken_out_and_lines_stay(unseen: str) -> None:
    assert redacted(f"one{unseen}\n\ttwo ünï 漢字") == "one\n\ttwo ünï 漢字"
