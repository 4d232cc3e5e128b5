"""What this process remembers of sandboxes from pass to pass; all of it may be lost."""

from dataclasses import dataclass, field
from datetime import datetime

from sandbox_common.cluster_events import ClusterEvent
from sandbox_crds.models import Sandbox
from sandbox_operator.limits.ledger import HeldBack
from sandbox_operator.pools.deferred import Initialization
from sandbox_operator.pools.initializer import Run, run_of
from sandbox_operator.pools.matching import Miss
from sandbox_operator.reporting.refusals import Refusal
from sandbox_operator.sandboxes.expectations import Expectations
from sandbox_operator.sandboxes.world import Made, Plan
from sandbox_operator.watching.pods import Pod


@dataclass(slots=True, weakref_slot=True, eq=False)
class Memory:
    """Of one sandbox, the one of this UID."""

    uid: str
    expectations: Expectations = field(default_factory=Expectations)
    miss: Miss | None = None
    """Why no warm pod was claimed, until a status says so."""
    made: Made | None = None
    looked: tuple[str, datetime, tuple[ClusterEvent, ...]] | None = None
    """UID of the pod about which Events were read last, when that was, and what they said."""
    prepared: str = ""
    """UID of the pod whose agent server has been asked to save its work since the last pass."""
    initialized: tuple[Run, Initialization] | None = None

    def evidence(self, pod: Pod | None) -> tuple[datetime | None, tuple[ClusterEvent, ...]]:
        """When the Events about this pod were read, if ever, and what they said."""
        uid, looked, evidence = self.looked or ("", None, ())
        return (looked, evidence) if pod and pod.uid == uid else (None, ())

    def initialization(self, pod: Pod | None) -> Initialization | None:
        """What has come of initializing the pod's agent server in its present run; None when it is to be tried."""
        run, result = self.initialized or (None, None)
        return result if pod and pod.deferred and run == run_of(pod) else None


@dataclass(slots=True)
class Turn:
    """One pass over one sandbox: the plan, and what has come of it so far. `memory` outlives the pass."""

    key: str
    sandbox: Sandbox
    memory: Memory
    prepared: str = ""
    held_back: HeldBack | None = None
    refusal: Refusal | None = None
    pod: Pod | None = None
    steps: Plan = field(default_factory=Plan)
