"""Redacts texts of containers and nodes before they get into a status, which many may read."""

from collections.abc import Collection
from dataclasses import replace

from sandbox_common.redaction import redacted
from sandbox_operator.watching.pods import Obstacle, Pod, PodCondition, Run


def redacted_pod(pod: Pod, secrets: Collection[str]) -> Pod:
    """The pod with redacted texts of its container, its conditions and its kubelet.

    Redact texts before cutting them: a cut may split a key, and its rest is not recognized by its form.
    """
    container = pod.container
    if container is not None:
        run = container.last_run
        container = replace(
            container,
            waiting_reason=redacted(container.waiting_reason, secrets),
            waiting_message=redacted(container.waiting_message, secrets),
            last_run=run and _redacted(run, secrets),
        )
    obstacle = pod.obstacle and _redacted(pod.obstacle, secrets)
    scheduled, ready, disruption = (
        condition and _redacted(condition, secrets) for condition in (pod.scheduled, pod.ready, pod.disruption)
    )
    return replace(
        pod,
        reason=redacted(pod.reason, secrets),
        message=redacted(pod.message, secrets),
        scheduled=scheduled,
        ready=ready,
        disruption=disruption,
        container=container,
        obstacle=obstacle,
    )


def _redacted[Said: (Run, Obstacle, PodCondition)](said: Said, secrets: Collection[str]) -> Said:
    return replace(said, reason=redacted(said.reason, secrets), message=redacted(said.message, secrets))


def has_foreign_text(pod: Pod) -> bool:
    """Whether the pod has any text of others. Only such a text can contain a key."""
    conditions = (pod.scheduled, pod.ready, pod.disruption)
    if pod.reason or pod.message or pod.obstacle or any(condition and condition.message for condition in conditions):
        return True
    container = pod.container
    return container is not None and bool(
        container.waiting_reason or container.waiting_message or container.last_run is not None
    )


def tail(text: str, limit: int) -> str:
    """The end of the text, at most `limit` characters, from the start of a line if possible."""
    text = text.strip()
    if len(text) <= limit:
        return text
    cut = text[-(limit - 1) :]
    _, newline, rest = cut.partition("\n")
    return "…" + (rest if newline and rest else cut)
