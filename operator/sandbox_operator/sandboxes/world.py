"""The input and output of `plan`: the state of one sandbox, and the steps to take."""

from collections.abc import Container
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sandbox_common.cluster_events import ClusterEvent
from sandbox_common.kube import KubeObject, Resource
from sandbox_common.kube.resources import PODS
from sandbox_common.reasons import ExpiryReason
from sandbox_crds.models import Sandbox, SandboxClass
from sandbox_operator.limits.start_queue import HeldBack
from sandbox_operator.pools.deferred import Initialization
from sandbox_operator.pools.matching import Miss
from sandbox_operator.reporting.refusals import Refusal
from sandbox_operator.sandboxes.services import Service, ServiceChange
from sandbox_operator.watching.pods import Pod
from sandbox_operator.watching.pulls import PullUnderWay


@dataclass(frozen=True, slots=True)
class Made:
    """What this process has made or found: the key in the Secret, and the pod once all other objects exist.

    `volume_made` is when the workspace's claim was made; None if there is no claim.
    """

    key_id: str
    pod_uid: str = ""
    volume_made: datetime | None = None


@dataclass(frozen=True, slots=True)
class World:
    """The state of one sandbox.

    `surplus` has its pods besides its own. `miss` says why no warm pod was claimed, once a claim was tried. `refusal`
    is the API server's answer to the last creation, if it was refused. `held_back` says which limit does not allow the
    start. `prepared` is the UID of the pod whose agent server has just saved its work. `pod_events` are the Events that
    were read at `looked`, if ever. `initialization` is the result of initializing the agent server in its present run.
    `unreported` is the number of other sandboxes in a passing state that is not reported yet. `service` is the Service
    with the sandbox's name, whoever owns it. `pull_secrets` has the names of its owner's pull
    Secrets. `pull` is the pull that the pod waits for. `taken` is the UID of the claimed pod whose volume the sandbox
    has taken over.
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
    pod_events: tuple[ClusterEvent, ...] = ()
    looked: datetime | None = None
    initialization: Initialization | None = None
    unreported: int = 0
    held_back: HeldBack | None = None
    service: Service | None = None
    pull_secrets: tuple[str, ...] = ()
    pull: PullUnderWay | None = None
    taken: str = ""


@dataclass(frozen=True, slots=True)
class Create:
    """An object to POST, and the Event to post if it is created.

    `waits`: POST it after all others. `key_ids`: ids of the keys that an existing Secret may have, otherwise it is
    replaced; None: any.
    """

    resource: Resource
    body: KubeObject
    event: KubeObject | None = None
    waits: bool = False
    key_ids: Container[str] | None = None


@dataclass(frozen=True, slots=True)
class Prepare:
    """A pod whose agent server must save its work before the pod is deleted, and the id of its key."""

    pod: Pod
    key_id: str


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps, in this order.

    `restore`: take over what the sandbox had before it was restored. `claim`: claim a warm pod if there is one. `take`:
    take over the volume of this claimed pod. `look`: read the Events about this pod. `events`: post them. `creates`:
    make these objects at the same time. `status`: write this merge patch. `initialize`: initialize the agent server of
    this pod, which has this class. `surplus`: delete these pods. `prepare`: make this pod's agent server save its work.
    `delete`: delete this pod; `unfit` says why it could not be used. `abandon`: delete this pod without waiting for its
    node. `suspend`: suspend the sandbox with this note, because it did not start in time. `expire`: delete the sandbox
    at this limit. `afterwards`: post these Events; after a claim, only if it succeeded. After `claim`, `take`, `look`,
    `creates` and `prepare` the next plan is made with the result, after `initialize` some time later. `service`: change
    the Service. `unreported`: there is a passing state that is not worth a write yet.
    """

    restore: bool = False
    claim: bool = False
    take: Pod | None = None
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
    expire: ExpiryReason | None = None
    afterwards: tuple[KubeObject, ...] = ()
    service: ServiceChange | None = None
    unreported: bool = False
    requeue_at: datetime | None = None

    @property
    def starts(self) -> bool:
        """Whether the plan gives the sandbox a new pod."""
        return self.claim or any(create.resource is PODS for create in self.creates)

    def again_at(self, *due: datetime | None) -> "Plan":
        """The same steps, with another look at the first of these times."""
        first = min((time for time in (self.requeue_at, *due) if time), default=None)
        return self if first == self.requeue_at else replace(self, requeue_at=first)
