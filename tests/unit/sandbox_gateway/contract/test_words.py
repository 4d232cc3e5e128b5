"""Command lines are split as the standard library does it."""

import shlex

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sandbox_gateway.contract.words import split


@given(st.text(st.sampled_from("ab \t\n\r\x0b\u00a0#'\"\\"), max_size=20))
@example("")
@example("''")
@example('a\'b\'"c\\"d\\e"\\ f')
def test_words_are_those_of_shlex(line: str) -> None:
    try:
        expected = shlex.split(line)
    except ValueError:
        with pytest.raises(ValueError, match=r"^cannot be split into words: no (closing quotation|escaped character)$"):
            split(line, 99)
    else:
        assert split(line, 99) == expected


def test_too_many_are_counted() -> None:
    with pytest.raises(ValueError, match="has too many words: 4, at most 3"):
        split("a b 'c d' e", 3)
    assert split("a b c", 3) == ["a", "b", "c"]
