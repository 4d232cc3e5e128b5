"""Text of containers and nodes on its way into a status that many may read."""

from collections.abc import Collection
from dataclasses import replace

from sandbox_crds.redaction import redacted
from sandbox_operator.pods import Pod


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
