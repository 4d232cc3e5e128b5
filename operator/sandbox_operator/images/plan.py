"""What is to be done on one node for one list of images: pure.

Each image gets a pod of its own that pulls and then holds it, so that a failure is that of one image. A pod for each of
many images would use up the pods that a node may have. So many of them are merged: one pod mounts the images of
`BATCH`, and then those are deleted. Once less than half of these are listed, the merged pod is worn: pods of one image
replace it, so that it does not hold the others for good.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from sandbox_operator.images.keepers import Keeper, State

BATCH = 32
"""Images of a merged pod."""


@dataclass(frozen=True, slots=True)
class World:
    """What is known of one node.

    `images` are to be kept, the most urgent first. `spares` are no longer urgent, and are kept while there is room.
    `resting` are not to be tried now. `room` is the most bytes, None without a limit; `size` gives the bytes that an
    image counts. `is_fit`: the node takes new pods. `merges`: pods may be merged, `batch` images in one.
    """

    images: Sequence[str]
    keepers: Sequence[Keeper]
    parallelism: int
    spares: Sequence[str] = ()
    resting: Collection[str] = ()
    room: int | None = None
    size: Callable[[str], int] = lambda _: 0
    is_fit: bool = True
    merges: bool = True
    batch: int = BATCH


@dataclass(frozen=True, slots=True)
class Plan:
    """Which images are wanted now, those of new pods, and pods to delete."""

    wanted: tuple[str, ...] = ()
    creates: tuple[tuple[str, ...], ...] = ()
    deletes: tuple[Keeper, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.creates or self.deletes)


def plan(world: World) -> Plan:
    """The next steps; to be asked again whenever a pod has changed."""
    wanted = _wanted(world)
    needed = set(wanted)
    places = {image: place for place, image in enumerate([*world.images, *world.spares])}
    kept, deletes = _sorted(world, places, wanted)
    holding = _Holding(world, kept)
    releasable = _by_urgency((keeper for keeper in kept if needed.isdisjoint(keeper.images)), places)
    deletes += holding.release_until(lambda: holding.is_within(0), releasable)
    deletes += holding.release_until(lambda: holding.is_within(0), _by_urgency(holding.keepers, places))
    creates: list[tuple[str, ...]] = []
    slots = world.parallelism - sum(keeper.state in {State.PULLING, State.WAITING} for keeper in world.keepers)
    # It pulls nothing, and frees the places of many pods.
    if world.is_fit and slots > 0 and (batch := _batch(world, wanted, holding.keepers)):
        creates.append(batch)
    held = {image for keeper in holding.keepers if not _is_worn(keeper, places) for image in keeper.images}
    for image in (image for image in wanted if image not in held):
        if not world.is_fit or len(creates) >= slots:
            break
        size = 0 if holding.has(image) else world.size(image)
        deletes += holding.release_until(lambda size=size: holding.is_within(size), releasable)
        if not holding.is_within(size):
            break
        holding.add(image)
        creates.append((image,))
    return Plan(wanted, tuple(creates), tuple(deletes))


def _wanted(world: World) -> tuple[str, ...]:
    """The first images, as many as there is room for."""
    wanted: list[str] = []
    total = 0
    for image in world.images:
        if image in world.resting:
            continue
        total += world.size(image)
        if world.room is not None and total > world.room:
            break
        wanted.append(image)
    return tuple(wanted)


def _is_worn(keeper: Keeper, places: Collection[str]) -> bool:
    return keeper.is_batch and 2 * sum(image in places for image in keeper.images) < len(keeper.images)


def _sorted(world: World, places: Collection[str], wanted: Collection[str]) -> tuple[list[Keeper], list[Keeper]]:
    """The pods that hold something of the list, and those that are of no use."""
    kept: list[Keeper] = []
    useless: list[Keeper] = []
    held: set[str] = set()
    needed = {*wanted, *world.resting}
    # Of pods for the same image, the one that is ready and holds more is kept; a worn one until another is ready.
    order = sorted(
        world.keepers,
        key=lambda one: (one.state is not State.READY, _is_worn(one, places), -len(one.images), one.name),
    )
    for keeper in order:
        if keeper.deletion_requested:
            continue
        listed = {image for image in keeper.images if image in places}
        if _is_worn(keeper, places):
            is_needed = keeper.state is State.READY and not listed & needed <= held
            (kept if is_needed else useless).append(keeper)
            continue
        merges = keeper.is_batch and keeper.state is not State.READY
        if keeper.state is State.FAILED or not listed or (listed <= held and not merges):
            useless.append(keeper)
            continue
        kept.append(keeper)
        held |= listed
    return kept, useless


class _Holding:
    """What pods hold, and how many bytes that is."""

    def __init__(self, world: World, keepers: Iterable[Keeper]) -> None:
        self._world = world
        self.keepers = list(keepers)
        self._pods: dict[str, int] = {}
        self._bytes = 0
        for keeper in self.keepers:
            for image in keeper.images:
                self.add(image)

    def has(self, image: str) -> bool:
        return image in self._pods

    def add(self, image: str) -> None:
        if image not in self._pods:
            self._bytes += self._world.size(image)
        self._pods[image] = self._pods.get(image, 0) + 1

    def is_within(self, more: int) -> bool:
        """Whether there is room for so many bytes more."""
        return self._world.room is None or self._bytes + more <= self._world.room

    def release_until(self, enough: Callable[[], bool], keepers: list[Keeper]) -> list[Keeper]:
        """Give up the least urgent of these, until there is room; gives those that are given up."""
        released: list[Keeper] = []
        while keepers and not enough():
            keeper = keepers.pop()
            self.keepers.remove(keeper)
            released.append(keeper)
            for image in keeper.images:
                self._pods[image] -= 1
                if not self._pods[image]:
                    del self._pods[image]
                    self._bytes -= self._world.size(image)
        return released


def _by_urgency(keepers: Iterable[Keeper], places: dict[str, int]) -> list[Keeper]:
    return sorted(keepers, key=lambda one: min(places.get(image, len(places)) for image in one.images))


def _batch(world: World, wanted: Collection[str], keepers: Collection[Keeper]) -> tuple[str, ...]:
    """The images of a new merged pod; none while another one is on its way, or there are few pods."""
    if not world.merges or any(keeper.is_batch and keeper.state is not State.READY for keeper in keepers):
        return ()
    alone = {keeper.images[0] for keeper in keepers if not keeper.is_batch and keeper.state is State.READY}
    images = [image for image in wanted if image in alone]
    # A merged pod is released as a whole, so where the window moves, half of it stays in pods of one image.
    is_window = world.room is not None and len(wanted) < len(world.images) + len(world.spares)
    return tuple(images[: world.batch]) if len(images) >= world.batch * (2 if is_window else 1) else ()
