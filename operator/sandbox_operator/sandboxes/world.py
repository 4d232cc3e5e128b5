"""What is known of one sandbox, and what may be done about it: all that `plan` takes and gives."""

from collections.abc import Container
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sandbox_common.cluster_events import ClusterEvent
from sandbox_common.kube import KubeObject, Resource
from sandbox_common.kube.resources import PODS
from sandbox_crds.models import Sandbox, SandboxClass
from sandbox_operator.limits.ledger import HeldBack
from sandbox_operator.pools.deferred import Initialization
from sandbox_operator.pools.matching import Miss
from sandbox_operator.reporting.refusals import Refusal
from sandbox_operator.sandboxes.services import Service, ServiceChange
from sandbox_operator.watching.pods import Pod


@dataclass(frozen=True, slots=True)
class Made:
    """What this process has made, or found made: the key in the Secret, and the pod once all else is there too.

    `volume_made` is when the claim of the workspace was made, if it has one.
    """

    key_id: str
    pod_uid: str = ""
    volume_made: datetime | None = None


@dataclass(frozen=True, slots=True)
class World:
    """What is known of one sandbox.

    `surplus` are pods that it has besides its own. `miss` is why no warm pod was claimed, once that was tried.
    `refusal` is that of the creation that has just been tried. `held_back`: a limit does not allow the start that was
    to be made. `prepared` is the UID of the pod whose agent server has just been asked to prepare for its end.
    `evidence` are the Events that were read at `looked`, if ever. `initialization` is what has come of initializing the
    agent server in its present run. `unreported` is how many other sandboxes are in a passing state that is not
    reported yet. `service` is the Service of the sandbox's name, whoever owns it.
    """

    sandbox: Sandbox
    class_: SandboxClass | None
    pod: Pod | None
    now: datetime
    made: Made | None = None
    surplus: tuple[Pod, ...] = ()
    miss: Miss | None = None
    refusal: Refusal | None = None
    prepared: str = ""
    evidence: tuple[ClusterEvent, ...] = ()
    looked: datetime | None = None
    initialization: Initialization | None = None
    unreported: int = 0
    held_back: HeldBack | None = None
    service: Service | None = None


@dataclass(frozen=True, slots=True)
class Create:
    """One object to POST, and the event to post once it is new.

    `waits`: only after all others. `key_ids`: keys that a Secret of this name may hold, else it is replaced; None: any.
    """

    resource: Resource
    body: KubeObject
    event: KubeObject | None = None
    waits: bool = False
    key_ids: Container[str] | None = None


@dataclass(frozen=True, slots=True)
class Prepare:
    """A pod whose agent server, opened by the key of this id, is to save its work before the pod is deleted."""

    pod: Pod
    key_id: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do, in this order.

    `claim`: claim a warm pod if there is one. `look`: read the Events about this pod. `events`: post them.
    `creates`: make these, side by side. `status`: a merge patch. `initialize`: initialize the agent server of this
    pod, of this class. `surplus`: delete these pods, of which nobody knows. `prepare`: have this pod's agent server
    save its work. `delete`: delete this pod, which is `unfit` if that says why. `abandon`: delete this one without
    its node. `suspend`: suspend the sandbox since it did not start in time, with this note. `expire`: delete the
    sandbox. `afterwards`: post these events; after a claim, only if there was a warm pod. After `claim`, `look`,
    `creates` and `prepare` the next plan is made with the outcome, after `initialize` some time later. `service`:
    what is to become of the Service. `unreported`: there is a passing state that is not worth a write yet.
    """

    claim: bool = False
    look: Pod | None = None
    events: tuple[KubeObject, ...] = ()
    creates: tuple[Create, ...] = ()
    status: dict[str, Any] | None = None
    initialize: tuple[Pod, SandboxClass] | None = None
    surplus: tuple[Pod, ...] = ()
    prepare: Prepare | None = None
    delete: Pod | None = None
    abandon: Pod | None = None
    unfit: str = ""
    suspend: str = ""
    expire: bool = False
    afterwards: tuple[KubeObject, ...] = ()
    service: ServiceChange | None = None
    unreported: bool = False
    requeue_at: datetime | None = None

    @property
    def starts(self) -> bool:
        """Whether the sandbox is to have a pod that it has not."""
        return self.claim or any(create.resource is PODS for create in self.creates)

    def again_at(self, *due: datetime | None) -> "Plan":
        """The same steps, with another look at the first of these times."""
        first = min((time for time in (self.requeue_at, *due) if time), default=None)
        return self if first == self.requeue_at else replace(self, requeue_at=first)
