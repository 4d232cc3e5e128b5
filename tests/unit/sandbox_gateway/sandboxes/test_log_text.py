"""A log as text that may be shown."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_common.redaction import REDACTED
from sandbox_gateway.sandboxes.log_text import CUT, LINE_BYTES, LogText
from unit.sandbox_gateway.support import KEYS

KEY_ID = KEYS.key_id("uid-1")
SECRETS = (KEYS.session_key(KEY_ID), KEYS.secret_key(KEY_ID))


def shown(*pieces: bytes) -> bytes:
    text = LogText(SECRETS)
    return b"".join([*map(text.feed, pieces), text.end()])


@pytest.mark.parametrize(
    ("log", "text"),
    [
        (b"", b""),
        (b"\n", b"\n"),
        (b"one\ntwo\n", b"one\ntwo\n"),
        (b"without an end", b"without an end\n"),
        (b"\xff\xfe\n\xe2\x82\nok", "\ufffd\ufffd\n\ufffd\nok\n".encode()),
        (b"a\tb\r\nbell\x07 \x1b[31mred\x1b[0m\n", b"a\tb\nbell [31mred[0m\n"),
        (b"\x1b]0;title\x07\x9b2J\n", "]0;title\ufffd2J\n".encode()),
        ("\u202eltr\u200b <script>\n".encode(), b"ltr <script>\n"),
        (f"key {SECRETS[0]} and {SECRETS[1]}\n".encode(), f"key {REDACTED} and {REDACTED}\n".encode()),
        (b"ohs_v1-abcdefghijklmnopqrstuvwxyz_x of another\n", f"{REDACTED} of another\n".encode()),
    ],
)  # fmt: skip
def test_text_of_a_log(log: bytes, text: bytes) -> None:
    assert shown(log) == text


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=4))
def test_where_the_pieces_end_does_not_matter(log: bytes, ends: list[int]) -> None:
    places = [0, *sorted(min(end, len(log)) for end in ends), len(log)]
    assert shown(*(log[start:end] for start, end in pairwise(places))) == shown(log)


def test_a_line_comes_when_it_has_ended() -> None:
    text = LogText(())
    shown = [text.feed(b"be"), text.feed(b"gun\nne"), text.feed(b"xt\n"), text.end()]
    assert shown == [b"", b"begun\n", b"next\n", b""]


def test_the_rest_of_a_long_line_is_left_out_and_takes_no_memory() -> None:
    text = LogText(())
    assert text.feed(b"x" * 100) == b""
    for _ in range(160):
        assert text.feed(b"y" * 65536) == b""
    [line, last] = text.feed(b"z\nnext\n").decode().splitlines()
    assert (line, last) == ("x" * 100 + "y" * (LINE_BYTES - 100) + CUT, "next")
    assert shown(b"w" * 10_000_000).decode() == "w" * LINE_BYTES + CUT + "\n"


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("before", range(LINE_BYTES - 20, LINE_BYTES + 600, 7))
def test_no_part_of_a_secret_is_left_where_a_line_is_cut(secret: str, before: int) -> None:
    # 12 characters of one are too few to find it, and more than chance gives.
    line = shown(b"." * before + secret.encode() + b"." * LINE_BYTES).decode()
    assert not any(secret[start : start + 12] in line for start in range(len(secret) - 11))
