"""What this process remembers about sandboxes between passes. Losing it does no harm."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sandbox_common.cluster_events import ClusterEvent
from sandbox_common.spans import Attributes, Span
from sandbox_crds.models import Sandbox
from sandbox_operator.limits.start_queue import HeldBack
from sandbox_operator.pools.deferred import Initialization
from sandbox_operator.pools.matching import Miss
from sandbox_operator.reporting.refusals import Refusal
from sandbox_operator.sandboxes.world import Made, Plan
from sandbox_operator.watching.pod_expectations import PodExpectations
from sandbox_operator.watching.pods import Pod, RunId


@dataclass(slots=True, weakref_slot=True, eq=False)
class Memory:
    """Memory of the sandbox with this UID."""

    uid: str
    expectations: PodExpectations[Pod]
    miss: Miss | None = None
    """Why no warm pod was claimed, until the status reports it."""
    made: Made | None = None
    taken: str = ""
    """UID of the claimed pod whose volume the sandbox has taken over."""
    unusable: str = ""
    """UID of the claimed pod whose volume the sandbox cannot have."""
    looked: tuple[str, datetime, tuple[ClusterEvent, ...]] | None = None
    """UID of the pod whose Events were read last, when that was, and the Events."""
    prepared: str = ""
    """UID of the pod whose agent server was asked, since the last pass, to save its work."""
    initialized: tuple[RunId, Initialization] | None = None
    spans: list[Span] = field(default_factory=list[Span])
    """Spans of what has happened in the background since the last pass, if the start is traced."""

    def pod_events(self, pod: Pod | None) -> tuple[datetime | None, tuple[ClusterEvent, ...]]:
        """When the Events about this pod were last read, None for never, and the Events."""
        uid, looked, pod_events = self.looked or ("", None, ())
        return (looked, pod_events) if pod and pod.uid == uid else (None, ())

    def initialization(self, pod: Pod | None) -> Initialization | None:
        """The result of initializing the pod's agent server in its present run; None if it should be tried."""
        run, result = self.initialized or (None, None)
        return result if pod and pod.deferred and run == pod.run_id else None


@dataclass(slots=True)
class Turn:
    """One pass over one sandbox: the plan, and its results so far. `memory` outlives the pass."""

    key: str
    sandbox: Sandbox
    memory: Memory
    prepared: str = ""
    held_back: HeldBack | None = None
    refusal: Refusal | None = None
    pod: Pod | None = None
    steps: Plan = field(default_factory=Plan)
    written: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """The changes of the status that the pass has written."""
    spans: list[Span] | None = None
    """Spans of the pass's writes; None if the start is not traced."""

    def wrote(self, what: str, began: datetime, ended: datetime, attributes: Attributes, error: str = "") -> None:
        """Note a write for the trace, if there is one."""
        if self.spans is not None:
            self.spans.append(Span(what, began, ended, attributes, error=error))
