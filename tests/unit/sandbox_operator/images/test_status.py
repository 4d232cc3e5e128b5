"""What the status says."""

from collections.abc import Collection
from datetime import timedelta

import pytest

from sandbox_common.reasons import IMAGES_MEANINGS, ImagesReason, Reason
from sandbox_crds.models import SandboxImages, SandboxImagesStatus
from sandbox_crds.models.sandbox_images import MOST_FAILURES, MOST_NODES
from sandbox_operator.images.keepers import Keeper, State
from sandbox_operator.images.memory import Memory
from sandbox_operator.images.plan import World, plan
from sandbox_operator.images.status import OnNode, is_urgent, next_status
from sandbox_operator.reporting.refusals import Refusal
from sandbox_operator.watching.pod_expectations import PodExpectations
from unit.sandbox_operator.images.samples import LIST_UID, NODE, image, images, keeper, listed
from unit.sandbox_operator.samples import NOW

REFUSED = Refusal(Reason.POD_REFUSED, "forbidden")
OVER_QUOTA = Refusal(Reason.QUOTA_EXCEEDED, "exceeded quota")
TOO_MANY = "0/1 nodes are available: Too many pods."


def status(
    item: SandboxImages, *nodes: Collection[Keeper], refusal: Refusal | None = None, known: bool = True
) -> SandboxImagesStatus:
    memory = Memory(LIST_UID, PodExpectations[Keeper](lambda: 0))
    memory.read(item, None, NOW)
    memory.refusal = refusal
    found: list[OnNode] = []
    for number, keepers in enumerate(nodes, 1):
        name = f"node-{number}"
        memory.look(name, keepers, NOW)
        world = World(memory.images, list(keepers), 2, resting=memory.resting(name, NOW))
        found.append(OnNode.of(name, plan(world), keepers, memory.failures[name], 10))
    return next_status(item, memory, found if known else None, [], NOW)


FAILED = keeper(image(2), state=State.FAILED, reason="ImageNotFound", message="not found")
WAITING = keeper(image(2), state=State.WAITING, reason="Unschedulable", message=TOO_MANY)
CASES = {
    ImagesReason.KEPT: status(listed(*images(2)), [keeper(*images(2))]),
    ImagesReason.PULLING: status(listed(*images(2)), [keeper(image(1)), keeper(image(2), state=State.PULLING)]),
    ImagesReason.PULLS_FAILING: status(listed(*images(2)), [keeper(image(1)), FAILED]),
    ImagesReason.UNSCHEDULABLE: status(listed(*images(2)), [keeper(image(1)), WAITING]),
    ImagesReason.POD_REFUSED: status(listed(*images(2)), [], refusal=REFUSED),
    ImagesReason.IMAGE_VOLUMES_UNSUPPORTED: status(
        listed(*images(2)), [], refusal=Refusal(Reason.IMAGE_VOLUMES_UNSUPPORTED, "must specify a volume type")
    ),
    ImagesReason.QUOTA_EXCEEDED: status(listed(*images(2)), [], refusal=OVER_QUOTA),
    ImagesReason.NO_NODES: status(listed(*images(2))),
    ImagesReason.NODES_UNKNOWN: status(listed(*images(2)), known=False),
}


@pytest.mark.parametrize(
    ("unfit", "message"),
    [
        ([], "No node has the labels of spec.nodeSelector."),
        (["a is cordoned", "b is not ready"], "No node takes pods now: a is cordoned, b is not ready."),
        ([f"{name} is not ready" for name in "abcdefg"], "d is not ready, e is not ready, and 2 more."),
    ],
)
def test_no_nodes_says_which_take_no_pods(unfit: list[str], message: str) -> None:
    memory = Memory(LIST_UID, PodExpectations[Keeper](lambda: 0))
    item = listed(*images(2))
    memory.read(item, None, NOW)
    condition = next_status(item, memory, [], unfit, NOW).condition("Ready")
    assert condition
    assert message in condition.message


@pytest.mark.parametrize("reason", ImagesReason)
def test_every_reason_comes_with_its_remedy(reason: ImagesReason) -> None:
    condition = CASES[reason].condition("Ready")
    assert condition
    assert (condition.reason, condition.status) == (reason, "True" if reason is ImagesReason.KEPT else "False")
    assert IMAGES_MEANINGS[reason].remedy in condition.message
    assert CASES[reason].observed_generation == 1


def test_a_refusal_is_not_reported_once_all_is_there() -> None:
    condition = status(listed(*images(2)), [keeper(*images(2))], refusal=REFUSED).condition("Ready")
    assert condition
    assert condition.reason == ImagesReason.KEPT


def test_numbers_of_all_nodes_and_of_each() -> None:
    found = status(listed(*images(3)), [keeper(image(1)), FAILED, keeper(image(3))], [keeper(image(1), name="other")])
    assert (found.images, found.nodes, found.wanted) == (3, 2, 6)
    assert (found.ready, found.pulling, found.failed, found.bytes) == (3, 0, 1, 20)
    first, second = found.by_node
    assert (first.name, first.ready, first.failed) == (NODE, 2, 1)
    assert (second.name, second.ready, second.failed) == ("node-2", 1, 0)
    [failure] = found.failures
    assert (failure.image, failure.reason, failure.message, failure.nodes) == (
        image(2),
        "ImageNotFound",
        "not found",
        1,
    )


def test_duplicates_are_a_condition_of_their_own() -> None:
    found = status(listed("a", "a", *images(1)), [])
    condition = found.condition("Duplicates")
    assert condition
    assert (condition.status, condition.message) == ("True", "The list has these images more than once: a.")
    assert status(listed(*images(2)), []).condition("Duplicates") is None


def test_lists_and_messages_are_bounded() -> None:
    many = images(200)
    failed = [keeper(each, state=State.FAILED, reason="ImageNotFound") for each in many]
    long = [f"registry.example/{'a' * 450}:{number % 100}" for number in range(200)]
    found = status(listed(*many), *[failed] * (MOST_NODES + 1))
    assert (len(found.failures), len(found.by_node), found.nodes) == (MOST_FAILURES, MOST_NODES, MOST_NODES + 1)
    assert [failure.image for failure in found.failures] == many[:MOST_FAILURES]
    condition = status(listed(*long), []).condition("Duplicates")
    assert condition
    assert "and 95 more" in condition.message
    assert len(condition.message) < 4096


def test_a_changed_count_can_wait_and_a_changed_reason_cannot() -> None:
    pulling, kept = CASES[ImagesReason.PULLING], CASES[ImagesReason.KEPT]
    assert is_urgent(SandboxImagesStatus(), pulling)
    assert not is_urgent(pulling, status(listed(*images(3)), []))
    assert is_urgent(pulling, kept)


def test_the_time_of_a_transition_stays_with_the_reason() -> None:
    before = CASES[ImagesReason.KEPT]
    item = listed(*images(2)).model_copy(update={"status": before})
    memory = Memory(LIST_UID, PodExpectations[Keeper](lambda: 0))
    memory.read(item, None, NOW)
    held = [keeper(*images(2))]
    node = OnNode.of(NODE, plan(World(memory.images, held, 2)), held, {}, 10)
    assert next_status(item, memory, [node], [], NOW + timedelta(hours=1)) == before
