"""Splits a command line like `shlex.split`, in a hundredth of its time, since all other calls wait meanwhile."""

import re

_PLAIN = r"""[^ \t\r\n'"\\]++"""
_WORD = re.compile(rf"""(?:{_PLAIN}|\\.|'[^']*+'|"(?:[^"\\]++|\\.)*+")++""", re.DOTALL)
_PART = re.compile(rf"""({_PLAIN})|\\(.)|'([^']*+)'|"((?:[^"\\]++|\\.)*+)\"""", re.DOTALL)
_ESCAPED = re.compile(r"""\\(["\\])""")


def split(line: str, most: int) -> list[str]:
    """The words of a line. Raises ValueError for more than `most` words and for a quotation without an end."""
    found = _WORD.findall(line)
    if left := _WORD.sub("", line).strip(" \t\r\n"):
        missing = "escaped character" if left[0] == "\\" else "closing quotation"
        raise ValueError(f"cannot be split into words: no {missing}")
    if len(found) > most:
        raise ValueError(f"has too many words: {len(found)}, at most {most}")
    return [_unquoted(word) for word in found]


def _unquoted(word: str) -> str:
    parts = _PART.findall(word)
    return "".join(
        plain or escaped or single or _ESCAPED.sub(r"\1", double) for plain, escaped, single, double in parts
    )
