"""Traces of first starts and of resumes: they continue the gateway's span, until the sandbox is ready."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from sandbox_common.spans import Span, Tracing, attributes_of
from sandbox_crds.api import TRACE_PARENT_ANNOTATION, TRACED_GENERATION_ANNOTATION
from sandbox_crds.models import Sandbox
from sandbox_operator.reporting.spans import span_of_pod
from sandbox_operator.sandboxes.lives import Start
from sandbox_operator.sandboxes.memory import Turn
from sandbox_operator.watching.pulls import FinishedPull


def is_traced(sandbox: Sandbox, start: Start | None) -> bool:
    """Whether spans of the sandbox's start may be wanted. `start` is in progress."""
    annotations = sandbox.metadata.annotations
    if TRACE_PARENT_ANNOTATION not in annotations:
        return False
    if TRACED_GENERATION_ANNOTATION not in annotations:
        return not sandbox.status.first_ready_time
    # Neither a later resume without a trace, nor a pod that is replaced later.
    is_resume = start is not None and start.again == "Resume"
    return is_resume and annotations[TRACED_GENERATION_ANNOTATION] == str(sandbox.metadata.generation)


class StartTraces:
    """Exports the spans of passes. `pulls` gives the image pulls for the pod with a UID."""

    def __init__(self, tracing: Tracing, pulls: Callable[[str], Iterable[FinishedPull]]) -> None:
        self._tracing = tracing
        self._pulls = pulls

    def passed(self, turn: Turn, began: datetime, ended: datetime) -> None:
        """Export what a pass has written, and what happened before it in the background."""
        sandbox, memory = turn.sandbox, turn.memory
        parent = sandbox.metadata.annotations[TRACE_PARENT_ANNOTATION]
        for span in memory.spans:
            self._tracing.record(span, parent)
        memory.spans.clear()
        if not turn.spans:
            return
        if _is_ready(turn.written) and turn.pod and (pod := span_of_pod(turn.pod, self._pulls(turn.pod.uid))):
            self._tracing.record(pod, parent)
        attributes = {**attributes_of(sandbox), **_launch(sandbox, turn.written)}
        self._tracing.record(Span("reconcile", began, ended, attributes, children=tuple(turn.spans)), parent)


def _is_ready(written: Mapping[str, Any]) -> bool:
    return bool(written.get("readyTime"))


def _launch(sandbox: Sandbox, written: Mapping[str, Any]) -> dict[str, str]:
    # Before the first write of a resume, the status has the launch of an earlier pod.
    launch = "Resume" if TRACED_GENERATION_ANNOTATION in sandbox.metadata.annotations else written.get("launch")
    return {"openhands.sandbox.launch": launch} if launch else {}
