"""Worlds, and what is to be done in them."""

from dataclasses import dataclass
from datetime import datetime

from sandbox_common.cluster_events import ClusterEvent
from sandbox_common.reasons import Reason
from sandbox_crds.models import Sandbox, SandboxClass
from sandbox_operator.pools.deferred import Initialization
from sandbox_operator.pools.matching import Miss, MissReason
from sandbox_operator.reporting.refusals import Refusal
from sandbox_operator.sandboxes.plan import plan
from sandbox_operator.sandboxes.world import Made, Plan, World
from sandbox_operator.watching.pods import Pod
from sandbox_operator.watching.pulls import PullUnderWay
from unit.sandbox_operator.samples import KEY_ID, KEYS, POD_UID, SOON, class_

CLASS = class_()
KEPT = class_(workspace={"persistent": True})
MADE = Made(KEY_ID, POD_UID)
NO_POOL = Miss(MissReason.NO_POOL)


@dataclass(frozen=True)
class Case:
    """A world, and the plan for it. Unless `miss` says otherwise, no pool was found.

    `writes` are creations by plural and all else that is done but the status, `events` the reasons of Events. `told` is
    the reason that is written, if any, with its message before the remedy; `remedy` is that if it is not the reason's.
    """

    sandbox: Sandbox
    pod: Pod | None = None
    class_: SandboxClass | None = CLASS
    now: datetime = SOON
    made: Made | None = None
    surplus: tuple[Pod, ...] = ()
    miss: Miss | None = NO_POOL
    refusal: Refusal | None = None
    prepared: str = ""
    pod_events: tuple[ClusterEvent, ...] = ()
    looked: datetime | None = None
    initialization: Initialization | None = None
    pull: PullUnderWay | None = None
    taken: str = ""
    writes: tuple[str, ...] = ()
    events: tuple[str, ...] = ()
    told: Reason | None = None
    message: str = ""
    remedy: str = ""
    requeue_at: datetime | None = None

    def plan(self) -> Plan:
        """What is to be done."""
        world = World(
            self.sandbox,
            self.class_,
            self.pod,
            self.now,
            self.made,
            self.surplus,
            self.miss,
            self.refusal,
            self.prepared,
            self.pod_events,
            self.looked,
            self.initialization,
            pull=self.pull,
            taken=self.taken,
        )
        return plan(world, KEYS)


def decide(
    sandbox: Sandbox,
    pod: Pod | None = None,
    *,
    class_: SandboxClass | None = CLASS,
    now: datetime = SOON,
    made: Made | None = None,
    refusal: Refusal | None = None,
) -> Plan:
    """The plan for a world."""
    return Case(sandbox, pod, class_, now, made, refusal=refusal).plan()


def writes(plan: Plan) -> tuple[str, ...]:
    """All that is done, but the status."""
    acts = {
        "restore": plan.restore,
        "claim": plan.claim,
        "take": plan.take,
        "look": plan.look,
        "initialize": plan.initialize,
        "prepare": plan.prepare,
        "delete pods": plan.delete,
        "abandon pods": plan.abandon,
        "suspend": plan.suspend,
        "expire": plan.expire,
    }
    surplus = ("delete surplus",) * len(plan.surplus)
    return (
        *surplus,
        *(create.resource.plural for create in plan.creates),
        *(name for name, act in acts.items() if act),
    )
