"""What commands print for people and for programs."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import click
import yaml

from sandbox_common import times

_ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"


def document(value: Mapping[str, Any] | Sequence[Any], output: str) -> None:
    """Print a document as JSON or YAML. Both escape control characters."""
    text = json.dumps(value, indent=2)
    # Back from JSON, since YAML would name Python's types.
    click.echo(yaml.safe_dump(json.loads(text), sort_keys=False).rstrip("\n") if output == "yaml" else text)


def visible(text: str) -> str:
    """One line: characters that could control a terminal, or change how others are shown, are escaped."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escape(char) for char in text)


def cut(text: str, most: int, *, keep_end: bool = False) -> str:
    """At most `most` characters, of which an ellipsis says that there are more."""
    if len(text) <= most:
        return text
    return f"{_ELLIPSIS}{text[1 - most :]}" if keep_end else f"{text[: most - 1]}{_ELLIPSIS}"


def columns(rows: Sequence[tuple[str, ...]]) -> str:
    """Lines with aligned cells."""
    cells = [[visible(cell) for cell in row] for row in rows]
    widths = [max(len(row[index]) for row in cells) for index in range(len(cells[0]))]
    lines = ("   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells)
    return "\n".join(lines)


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode()


def age(since: str, now: datetime) -> str:
    """How long ago an RFC 3339 time was, in two units at most; "-" if it is none."""
    try:
        seconds = max(0, int((now - times.parse(since)).total_seconds()))
    except ValueError:
        return "-"
    for unit, length, smaller, part in (("d", 86_400, "h", 3600), ("h", 3600, "m", 60), ("m", 60, "s", 1)):
        if seconds >= 2 * length:
            number, rest = divmod(seconds, length)
            return f"{number}{unit}{rest // part}{smaller}" if number < 10 and rest // part else f"{number}{unit}"
    return f"{seconds}s"
