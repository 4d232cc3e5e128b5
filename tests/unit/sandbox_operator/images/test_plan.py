"""What is done on a node: in order, few at a time, within the disk, and nothing twice."""

import random
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox_operator.images.keepers import Keeper, State
from sandbox_operator.images.plan import BATCH, Plan, World, plan
from unit.sandbox_operator.images.samples import image, images, keeper
from unit.sandbox_operator.samples import NOW

THREE = images(3)
FEW = 4
"""Images of a merged pod in long courses."""


def names(keepers: tuple[Keeper, ...]) -> set[str]:
    return {one.name for one in keepers}


def test_the_first_images_are_pulled_first() -> None:
    assert plan(World(images(5), [], parallelism=2)).creates == ((image(1),), (image(2),))


def test_a_pod_that_is_pulling_or_waits_takes_a_place() -> None:
    for state in (State.PULLING, State.WAITING):
        assert plan(World(images(5), [keeper(image(1), state=state)], parallelism=2)).creates == ((image(2),),)


def test_a_deleted_pod_that_is_pulling_still_takes_a_place() -> None:
    pulling = keeper(image(9), state=State.PULLING, deletion_requested=NOW)
    assert plan(World(THREE, [pulling], parallelism=1)).creates == ()


def test_a_failed_pod_goes_and_its_image_rests() -> None:
    failed = keeper(image(1), state=State.FAILED)
    steps = plan(World(THREE, [failed], parallelism=1, resting={image(1)}))
    assert (steps.deletes, steps.creates) == ((failed,), ((image(2),),))


def test_nothing_new_comes_to_a_node_that_takes_no_pods_and_what_is_there_stays() -> None:
    steps = plan(World(THREE, [keeper(image(1))], parallelism=2, is_fit=False))
    assert not steps


def test_an_image_that_is_not_listed_any_more_is_released() -> None:
    stray = keeper(image(9))
    assert plan(World(THREE, [stray], parallelism=1)).deletes == (stray,)


def test_of_two_pods_for_one_image_one_stays() -> None:
    twins = [keeper(image(1), name="a"), keeper(image(1), name="b")]
    assert names(plan(World(THREE, twins, parallelism=1)).deletes) == {"b"}


def test_many_pods_become_one_and_go_only_once_it_is_ready() -> None:
    alone = [keeper(each) for each in images(BATCH)]
    world = World(images(BATCH), alone, parallelism=1)
    assert plan(world).creates == (tuple(images(BATCH)),)
    merged = keeper(*images(BATCH), state=State.PULLING, name="merged")
    assert not plan(replace(world, keepers=[*alone, merged]))
    ready = replace(merged, state=State.READY)
    assert names(plan(replace(world, keepers=[*alone, ready])).deletes) == names(tuple(alone))


def test_merging_rests_after_a_failure() -> None:
    alone = [keeper(each) for each in images(BATCH)]
    failed = keeper(*images(BATCH), state=State.FAILED, name="merged")
    steps = plan(World(images(BATCH), [*alone, failed], parallelism=1, merges=False))
    assert (steps.deletes, steps.creates) == ((failed,), ())


def test_a_window_holds_what_fits_and_moves_on_when_an_image_is_used() -> None:
    world = World(images(5), [keeper(image(1)), keeper(image(2))], parallelism=2, room=25, size=lambda _: 10)
    assert plan(world) == Plan(wanted=(image(1), image(2)))
    used = replace(world, images=images(5)[1:], spares=[image(1)])
    assert plan(used) == Plan((image(2), image(3)), ((image(3),),), (world.keepers[0],))


def test_what_is_used_stays_while_there_is_room() -> None:
    world = World([image(2)], [keeper(image(1))], parallelism=2, spares=[image(1)], room=25, size=lambda _: 10)
    assert plan(world) == Plan((image(2),), ((image(2),),))


def test_an_image_that_turns_out_to_be_large_makes_the_last_ones_go() -> None:
    sizes = {image(1): 10, image(2): 18, image(3): 10}
    world = World(THREE, [keeper(each) for each in THREE], parallelism=1, room=30, size=sizes.__getitem__)
    steps = plan(world)
    assert (steps.wanted, names(steps.deletes), steps.creates) == ((image(1), image(2)), {"tasks-3"}, ())


def test_a_merged_pod_of_which_little_is_needed_does_not_break_the_bound() -> None:
    merged = keeper(*images(4))
    world = World([image(4), image(5)], [merged], 1, spares=images(3), room=25, size=lambda _: 10)
    assert plan(world).deletes == (merged,)


def test_a_merged_pod_of_which_little_is_listed_is_replaced() -> None:
    worn = keeper(*images(4), name="worn")
    world = World([image(1), image(9)], [worn, keeper(image(9))], parallelism=1, room=40, size=lambda _: 8)
    assert plan(world) == Plan((image(1), image(9)), ((image(1),),))
    pulling = keeper(image(1), state=State.PULLING, name="new")
    assert not plan(replace(world, keepers=[*world.keepers, pulling]))
    ready = replace(pulling, state=State.READY)
    assert plan(replace(world, keepers=[*world.keepers, ready])).deletes == (worn,)


def test_a_merged_pod_stays_while_half_of_it_is_listed_or_the_node_takes_no_other() -> None:
    merged = keeper(*images(4))
    assert not plan(World(images(2), [merged], parallelism=1))
    assert not plan(World(images(1), [merged], parallelism=1, is_fit=False))


def test_a_pod_of_little_use_goes_first_when_there_is_no_room_for_its_image_alone() -> None:
    worn = keeper(*images(4), name="worn")
    steps = plan(World(images(1), [worn], parallelism=1, room=20, size=lambda _: 10))
    assert (names(steps.deletes), steps.creates) == ({"worn"}, ((image(1),),))


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32), left=st.sets(st.integers(1, 20)), parallelism=st.integers(1, 4))
def test_what_leaves_the_list_leaves_the_node_for_the_most_part(seed: int, left: set[int], parallelism: int) -> None:
    disk = Disk(random.Random(seed), dict.fromkeys(images(20), 1), set(), parallelism, None)
    for _ in range(300):
        disk.pass_()
        disk.kubelet()
    kept = {image(number) for number in left}
    disk.removed = disk.sizes.keys() - kept
    for _ in range(300):
        held = disk.pinned
        disk.pass_()
        assert held & kept <= disk.pinned, "an image that is still listed is given up"
        disk.kubelet()
    assert not disk.pass_()
    assert disk.pinned >= kept
    assert not any(map(disk.is_worn, disk.keepers.values()))


@dataclass
class Disk:
    """A node, and what a kubelet does there."""

    choice: random.Random
    sizes: dict[str, int]
    bad: set[str]
    parallelism: int
    room: int | None
    keepers: dict[str, Keeper] = field(default_factory=dict[str, Keeper])
    pulled: list[str] = field(default_factory=list[str])
    used: list[str] = field(default_factory=list[str])
    resting: set[str] = field(default_factory=set[str])
    count: int = 0
    removed: set[str] = field(default_factory=set[str])

    @property
    def listed(self) -> list[str]:
        return [each for each in self.sizes if each not in self.removed]

    @property
    def pinned(self) -> set[str]:
        return {each for one in self.keepers.values() for each in one.images}

    def is_worn(self, one: Keeper) -> bool:
        return 2 * len(set(one.images) & set(self.listed)) < len(one.images)

    def pass_(self) -> Plan:
        fits = self.room is None or sum(self.sizes.values()) <= self.room
        unused = self.listed if fits else [each for each in self.listed if each not in self.used]
        world = World(
            images=unused,
            keepers=list(self.keepers.values()),
            parallelism=self.parallelism,
            spares=[] if fits else self.used,
            resting=self.resting,
            room=self.room,
            size=self.sizes.__getitem__,
            batch=FEW,
        )
        steps = plan(world)
        assert not set(map(tuple, steps.creates)) & {one.images for one in self.keepers.values()}
        alone = [each for [each, *more] in steps.creates if not more]
        lasting = {each for one in self.keepers.values() if not self.is_worn(one) for each in one.images}
        assert not set(alone) & lasting, "an image that is held is pulled again"
        places = [unused.index(each) for each in alone]
        assert places == sorted(places)
        ahead = unused[: max(places)] if places else []
        assert set(ahead) <= self.pinned | self.resting | set(alone), "an earlier image is left out"
        for one in steps.deletes:
            # The kubelet may take its time; most go at once.
            if self.choice.random() < 0.2 and one.state is State.PULLING:
                self.keepers[one.name] = replace(one, deletion_requested=NOW)
            else:
                del self.keepers[one.name]
        for held in steps.creates:
            self.count += 1
            made = keeper(*held, state=State.WAITING, name=f"pod-{self.count}")
            self.keepers[made.name] = made
        waits = {State.PULLING, State.WAITING}
        assert sum(one.state in waits for one in self.keepers.values()) <= self.parallelism
        assert self.room is None or sum(self.sizes[each] for each in self.pinned) <= self.room
        return steps

    def kubelet(self) -> None:
        if not self.keepers:
            return
        one = self.choice.choice(sorted(self.keepers.values(), key=lambda each: each.name))
        if one.deletion_requested:
            del self.keepers[one.name]
        elif one.state is State.WAITING:
            self.keepers[one.name] = replace(one, state=State.PULLING)
        elif one.state is State.PULLING:
            failed = not one.is_batch and one.images[0] in self.bad
            if failed:
                self.resting.add(one.images[0])
            elif not one.is_batch:
                self.pulled.append(one.images[0])
            self.keepers[one.name] = replace(one, state=State.FAILED if failed else State.READY)

    def sandbox(self) -> None:
        ready = {each for one in self.keepers.values() if one.state is State.READY for each in one.images}
        for each in sorted(ready - set(self.used)):
            if self.choice.random() < 0.3:
                self.used.append(each)


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**32),
    count=st.integers(1, 5 * FEW),
    parallelism=st.integers(1, 4),
    room=st.one_of(st.none(), st.integers(10, 100)),
    failing=st.sampled_from([0.0, 0.1, 0.5]),
)
def test_any_course_keeps_order_bounds_and_ends_with_all_that_can_be_had(
    seed: int, count: int, parallelism: int, room: int | None, failing: float
) -> None:
    choice = random.Random(seed)
    sizes = {each: choice.randint(1, 10) for each in images(count)}
    bad = {each for each in sizes if choice.random() < failing}
    disk = Disk(choice, sizes, bad, parallelism, room)
    for _ in range(15 * count + 30):
        disk.pass_()
        disk.kubelet()
        if choice.random() < 0.1:
            disk.sandbox()
    for _ in range(8 * count + 30):  # and then nothing more is used
        disk.pass_()
        for _ in range(4):
            disk.kubelet()
    good = [each for each in sizes if each not in bad]
    if room is None or sum(sizes.values()) <= room:
        assert disk.pinned == set(good)
        assert len(disk.pulled) == len(good), "each image is pulled once"
        assert len(disk.keepers) <= 2 * FEW + count // FEW
    else:
        assert len(set(disk.pulled)) == len(disk.pulled), "what has been used is not pulled again"
    assert not disk.pass_()


@pytest.mark.parametrize("parallelism", [1, 3])
def test_a_hundred_images_take_few_pods(parallelism: int) -> None:
    disk = Disk(random.Random(1), dict.fromkeys(images(100), 1), set(), parallelism, None)
    most = 0
    while disk.pass_():
        disk.keepers = {name: replace(one, state=State.READY) for name, one in disk.keepers.items()}
        most = max(most, len(disk.keepers))
    assert most <= 100 // FEW + 2 * FEW
    assert disk.pinned == set(images(100))
