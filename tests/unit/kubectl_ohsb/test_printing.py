"""Texts for terminals: nothing that is stored can control one."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from kubectl_ohsb import printing

NOW = datetime(2026, 12, 1, tzinfo=UTC)


@given(st.text(max_size=200))
def test_every_text_becomes_one_line_that_controls_nothing(text: str) -> None:
    shown = printing.visible(text)
    assert shown.isprintable()
    assert printing.visible(shown) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J", r"\x1b[2J"),
        ("a\nb\tc", r"a\nb\tc"),
        ("\u202egnp", r"\u202egnp"),
        ("שלום é 漢", "שלום é 漢"),
        ("\ud800", r"\ud800"),
    ],
)
def test_only_what_controls_is_escaped(text: str, shown: str) -> None:
    assert printing.visible(text) == shown


@pytest.mark.parametrize("output", ["json", "yaml"])
def test_documents_are_ascii_and_read_back(output: str, capsys: pytest.CaptureFixture[str]) -> None:
    value: dict[str, Any] = {"a": "\x1b[2J\u202e漢", "b": ["no", None, 1], "c": {}}
    printing.document(value, output)
    out = capsys.readouterr().out
    assert out.replace("\n", "").isascii()
    assert "\x1b" not in out
    assert (json.loads(out) if output == "json" else yaml.safe_load(out)) == value


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0s"),
        (0, "0s"),
        (119, "119s"),
        (150, "2m30s"),
        (3600, "60m"),
        (9000, "2h30m"),
        (200_000, "2d7h"),
        (10**7, "115d"),
    ],
)
def test_ages(seconds: int, text: str) -> None:
    since = (NOW - timedelta(seconds=seconds)).isoformat()
    assert printing.age(since, NOW) == text


def test_what_is_no_time_has_no_age() -> None:
    assert printing.age("", NOW) == printing.age("yesterday", NOW) == "-"


def test_long_texts_are_cut_at_the_end_that_says_less() -> None:
    assert printing.cut("abcdef", 6) == "abcdef"
    assert printing.cut("abcdefg", 6) == "abcde…"
    assert printing.cut("registry/agent:1", 8, keep_end=True) == "…agent:1"
