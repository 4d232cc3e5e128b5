"""Redacts texts of containers and nodes before they get to where many may read them."""

import re
from collections.abc import Collection

REDACTED = "[redacted]"

_SESSION_KEY = re.compile(r"(?:ohs_)?v[1-9][0-9]{0,8}-[a-z2-7]{26}_[A-Za-z0-9_-]{1,43}")
_SHORTEST_PIECE = 8
FORMATTING_OF_SCHEMAS = r"\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
"""The most common characters of `FORMATTING`, in a form that all dialects of regular expressions understand."""

FORMATTING = rf"{FORMATTING_OF_SCHEMAS}\U0001d173-\U0001d17a\U000e0000-\U000e007f"
"""Invisible characters that change the display of others: directions, joiners, line separators, tags (Unicode's `Cf`,
`Zl`, `Zp`), as ranges of a regular expression."""

_UNSEEN = re.compile(rf"[\x00-\x08\x0b-\x1f\x7f-\x9f{FORMATTING}]")
"""All invisible characters except tab and line feed: kubectl writes conditions unchanged to terminals."""


def redacted(text: str, secrets: Collection[str] = ()) -> str:
    """The text without session keys (anything that looks like one), `secrets` and invisible characters.

    Kubelets cut off the beginning of long texts, so the end of a secret at the start of the text is removed, too.
    """
    text = _UNSEEN.sub("", text)
    if not text:
        return text
    for secret in secrets:
        text = text.replace(secret, REDACTED)
        for length in range(len(secret) - 1, _SHORTEST_PIECE - 1, -1):
            if text.startswith(secret[-length:]):
                text = REDACTED + text[length:]
                break
    return _SESSION_KEY.sub(REDACTED, text)
