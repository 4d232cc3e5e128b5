"""The status of a SandboxImages, and when it is worth a write."""

from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime

from sandbox_common import times
from sandbox_common.reasons import IMAGES_MEANINGS, ImagesReason, Reason
from sandbox_common.remedies import with_remedy
from sandbox_crds.models import Condition, ImageFailure, NodeImages, SandboxImages, SandboxImagesStatus
from sandbox_crds.models.sandbox_images import MOST_FAILURES, MOST_NODES
from sandbox_operator.images import passes
from sandbox_operator.images.keepers import Keeper, State
from sandbox_operator.images.memory import Failure, Memory
from sandbox_operator.images.plan import Plan
from sandbox_operator.reporting.conditions import READY, condition

DUPLICATES = "Duplicates"
_REFUSALS = {
    Reason.QUOTA_EXCEEDED: ImagesReason.QUOTA_EXCEEDED,
    Reason.IMAGE_VOLUMES_UNSUPPORTED: ImagesReason.IMAGE_VOLUMES_UNSUPPORTED,
    Reason.PENDING: ImagesReason.PULLING,
}
_NAMED = 5
"""Images or nodes that a message names."""


@dataclass(frozen=True, slots=True)
class OnNode:
    """What is so on one node. `bytes` are those of the kept images."""

    name: str
    plan: Plan
    kept: Set[str]
    pulling: Set[str]
    failures: Mapping[str, Failure]
    bytes: int
    waiting: str = ""
    """Why a pod has no node, in the scheduler's words."""

    @classmethod
    def of(
        cls, name: str, plan: Plan, keepers: Collection[Keeper], failures: Mapping[str, Failure], bytes_: int
    ) -> "OnNode":
        """From the node's pods."""
        live = [keeper for keeper in keepers if not keeper.deletion_requested]
        kept = {image for keeper in live if keeper.state is State.READY for image in keeper.images}
        under_way = {State.PULLING, State.WAITING}
        pulling = {image for keeper in live if keeper.state in under_way for image in keeper.images} - kept
        waiting = next((keeper.message for keeper in live if keeper.state is State.WAITING and keeper.reason), "")
        return cls(name, plan, kept, pulling, failures, bytes_, waiting)

    @property
    def ready(self) -> int:
        return len(self.kept & set(self.plan.wanted))

    @property
    def failed(self) -> Set[str]:
        return self.failures.keys() - self.kept

    @property
    def row(self) -> NodeImages:
        pulling = len(self.pulling - self.failed)
        return NodeImages(name=self.name, ready=self.ready, pulling=pulling, failed=len(self.failed), bytes=self.bytes)


def next_status(
    item: SandboxImages, memory: Memory, nodes: Sequence[OnNode] | None, unfit: Sequence[str], now: datetime
) -> SandboxImagesStatus:
    """The whole status; `nodes` is None if they cannot be read. Conditions of other types stay as they are.

    `unfit` has, for each node that spec.nodeSelector selects and that takes no pods now, the reason, with its name.
    """
    old = item.status
    known = nodes or ()
    rows = [node.row for node in known]
    failed = sum(row.failed for row in rows)
    wanted = sum(len(node.plan.wanted) + len(node.failed - set(node.plan.wanted)) for node in known)
    counts = SandboxImagesStatus(
        images=len(memory.images),
        nodes=len(known),
        wanted=wanted,
        ready=sum(row.ready for row in rows),
        pulling=sum(row.pulling for row in rows),
        failed=failed,
        bytes=sum(row.bytes for row in rows),
    )
    reason, message = _reason(memory, nodes, unfit, counts)
    others = [each for each in old.conditions if each.type not in {READY, DUPLICATES}]
    generation = item.metadata.generation
    ready = condition(
        READY,
        old.condition(READY),
        holds=reason is ImagesReason.KEPT,
        reason=reason,
        message=with_remedy(message, IMAGES_MEANINGS[reason].remedy),
        generation=generation,
        now=now,
    )
    return counts.model_copy(
        update={
            "observed_generation": generation,
            "conditions": [
                ready,
                *_duplicates(old.condition(DUPLICATES), memory.duplicates, generation, now),
                *others,
            ],
            "used": passes.encode(memory.images, memory.used) if memory.sizes.room else "",
            "pass_started": times.rfc3339(memory.pass_started) if memory.pass_started and memory.sizes.room else "",
            "by_node": rows[:MOST_NODES],
            "failures": _failures(memory, known),
        }
    )


def is_urgent(old: SandboxImagesStatus, new: SandboxImagesStatus) -> bool:
    """Whether people shall know at once: an answer to a change of the spec, or another reason."""
    before, after = old.condition(READY), new.condition(READY)
    return (
        old.observed_generation != new.observed_generation
        or before is None
        or after is None
        or before.reason != after.reason
    )


def _reason(
    memory: Memory, nodes: Sequence[OnNode] | None, unfit: Sequence[str], counts: SandboxImagesStatus
) -> tuple[ImagesReason, str]:
    """The first reason that applies, with its message."""
    if nodes is None:
        return ImagesReason.NODES_UNKNOWN, "The operator does not see the nodes."
    if not nodes:
        if not unfit:
            return ImagesReason.NO_NODES, "No node has the labels of spec.nodeSelector."
        return ImagesReason.NO_NODES, f"No node takes pods now: {_named(unfit)}."
    progress = f"{counts.ready} of {counts.wanted} images on {counts.nodes} nodes are ready."
    if memory.refusal and counts.ready < counts.wanted:
        return _REFUSALS.get(memory.refusal.reason, ImagesReason.POD_REFUSED), memory.refusal.message
    if counts.ready + counts.failed < counts.wanted:
        if waiting := next((node for node in nodes if node.waiting), None):
            return ImagesReason.UNSCHEDULABLE, f"{progress} Node {waiting.name}: {waiting.waiting}"
        return ImagesReason.PULLING, progress
    if counts.failed:
        return ImagesReason.PULLS_FAILING, f"{progress} {counts.failed} cannot be pulled."
    return ImagesReason.KEPT, progress


def _duplicates(old: Condition | None, duplicates: Sequence[str], generation: int, now: datetime) -> list[Condition]:
    if not duplicates:
        return []
    message = f"The list has these images more than once: {_named(duplicates)}."
    return [
        condition(
            DUPLICATES, old, holds=True, reason="DuplicateImages", message=message, generation=generation, now=now
        )
    ]


def _named(names: Sequence[str]) -> str:
    more = [f"and {len(names) - _NAMED} more"] if len(names) > _NAMED else []
    return ", ".join([*names[:_NAMED], *more])


def _failures(memory: Memory, nodes: Sequence[OnNode]) -> list[ImageFailure]:
    """Those of the list, in its order."""
    found: list[ImageFailure] = []
    for image in memory.images:
        failing = [node.failures[image] for node in nodes if image in node.failed]
        if failing and len(found) < MOST_FAILURES:
            text, last = memory.texts[image], failing[0]
            found.append(ImageFailure(image=text, reason=last.reason, message=last.message, nodes=len(failing)))
    return found
