"""Text of containers and nodes on its way into a status that many may read."""

import re
from collections.abc import Collection
from dataclasses import replace

from sandbox_operator.pods import Pod

REDACTED = "[redacted]"

_SESSION_KEY = re.compile(r"(?:ohs_)?v[1-9][0-9]{0,8}-[a-z2-7]{26}_[A-Za-z0-9_-]{1,43}")
_SHORTEST_PIECE = 8


def redacted(text: str, secrets: Collection[str] = ()) -> str:
    """The text without anything that looks like a session key, and without `secrets`.

    Kubelets cut long texts at their beginning, so the end of a secret at the start of the text goes too.
    """
    if not text:
        return text
    for secret in secrets:
        text = text.replace(secret, REDACTED)
        for length in range(len(secret) - 1, _SHORTEST_PIECE - 1, -1):
            if text.startswith(secret[-length:]):
                text = REDACTED + text[length:]
                break
    return _SESSION_KEY.sub(REDACTED, text)


def redacted_pod(pod: Pod, secrets: Collection[str]) -> Pod:
    """The pod, with the texts of its container and kubelet redacted.

    For a text that is then cut: the cut may run through a key, and the rest of it is not known by its form.
    """
    container = pod.container
    if container is not None:
        run = container.last_run
        container = replace(
            container,
            waiting_message=redacted(container.waiting_message, secrets),
            last_run=run and replace(run, message=redacted(run.message, secrets)),
        )
    obstacle = pod.obstacle and replace(pod.obstacle, message=redacted(pod.obstacle.message, secrets))
    return replace(pod, message=redacted(pod.message, secrets), container=container, obstacle=obstacle)


def tail(text: str, limit: int) -> str:
    """The end of the text, at most `limit` characters, from the start of a line where there is one."""
    text = text.strip()
    if len(text) <= limit:
        return text
    cut = text[-(limit - 1) :]
    _, newline, rest = cut.partition("\n")
    return "…" + (rest if newline and rest else cut)
