"""Text of containers and nodes on its way to where many may read it."""

import re
from collections.abc import Collection

REDACTED = "[redacted]"

_SESSION_KEY = re.compile(r"(?:ohs_)?v[1-9][0-9]{0,8}-[a-z2-7]{26}_[A-Za-z0-9_-]{1,43}")
_SHORTEST_PIECE = 8
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""All but tab and line feed: kubectl writes conditions to terminals as they are."""


def redacted(text: str, secrets: Collection[str] = ()) -> str:
    """The text without anything that looks like a session key, without `secrets`, and without control characters.

    Kubelets cut long texts at their beginning, so the end of a secret at the start of the text goes too.
    """
    text = _CONTROL.sub("", text)
    if not text:
        return text
    for secret in secrets:
        text = text.replace(secret, REDACTED)
        for length in range(len(secret) - 1, _SHORTEST_PIECE - 1, -1):
            if text.startswith(secret[-length:]):
                text = REDACTED + text[length:]
                break
    return _SESSION_KEY.sub(REDACTED, text)
