"""Spans of a pod's steps, from the times that the API server has of them: whole seconds."""

from collections.abc import Iterable
from datetime import datetime

from sandbox_common.spans import Span
from sandbox_operator.watching.pods import Pod
from sandbox_operator.watching.pulls import FinishedPull


def span_of_pod(pod: Pod, pulls: Iterable[FinishedPull]) -> Span | None:
    """The span of a pod that is ready for the first time, with its steps. A warm pod has none: it was ready before."""
    ready = pod.ready.since if pod.ready and pod.ready.status else None
    if pod.pool or ready is None or ready < pod.created:
        return None
    scheduled = pod.scheduled.since if pod.scheduled and pod.scheduled.status else None
    running = pod.container.running_since if pod.container else None
    steps = [
        _step("schedule pod", pod.created, scheduled),
        *(_step("pull image", pull.began, pull.ended, pull.image) for pull in pulls),
        _step("start containers", scheduled, running),
        _step("boot agent server", running, ready),
    ]
    attributes = {
        "k8s.pod.name": pod.name,
        "k8s.pod.uid": pod.uid,
        "k8s.node.name": pod.node,
        "k8s.container.restart_count": pod.restarts,
    }
    return Span("pod", pod.created, ready, attributes, children=tuple(step for step in steps if step))


def _step(name: str, start: datetime | None, end: datetime | None, image: str = "") -> Span | None:
    if start is None or end is None or end < start:
        return None
    return Span(name, start, end, {"openhands.sandbox.image": image} if image else {})
