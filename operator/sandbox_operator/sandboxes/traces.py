"""Traces of first starts: they continue the span of the /start that made the Sandbox, until it is ready."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from sandbox_common.spans import Span, Tracing, attributes_of
from sandbox_crds.api import TRACE_PARENT_ANNOTATION
from sandbox_crds.models import Sandbox
from sandbox_operator.reporting.spans import span_of_pod
from sandbox_operator.sandboxes.memory import Turn
from sandbox_operator.watching.pulls import FinishedPull


def is_traced(sandbox: Sandbox) -> bool:
    """Whether spans of the sandbox's start may be wanted."""
    return TRACE_PARENT_ANNOTATION in sandbox.metadata.annotations and not sandbox.status.first_ready_time


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
        if _is_first_ready(turn.written) and turn.pod and (pod := span_of_pod(turn.pod, self._pulls(turn.pod.uid))):
            self._tracing.record(pod, parent)
        attributes = {**attributes_of(sandbox), **_launch(turn.written)}
        self._tracing.record(Span("reconcile", began, ended, attributes, children=tuple(turn.spans)), parent)


def _is_first_ready(written: Mapping[str, Any]) -> bool:
    return bool(written.get("firstReadyTime"))


def _launch(written: Mapping[str, Any]) -> dict[str, str]:
    return {"openhands.sandbox.launch": written["launch"]} if written.get("launch") else {}
