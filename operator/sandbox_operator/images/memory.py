"""What this process remembers of one list of images; all of it may be lost."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sandbox_common import times
from sandbox_common.backoff import doubled
from sandbox_common.reasons import Reason
from sandbox_crds.models import SandboxImages
from sandbox_operator.images import passes
from sandbox_operator.images.keepers import MESSAGE_CHARACTERS, Keeper, State, full
from sandbox_operator.images.sizes import Sizes
from sandbox_operator.reporting.refusals import Refusal
from sandbox_operator.watching.pod_expectations import PodExpectations

SHORTEST_REST = timedelta(seconds=30)
LONGEST_REST = timedelta(minutes=30)
TOO_LARGE = "TooLarge"
_SETTLED = timedelta(seconds=60)
"""After so long a node reports each image that is among its largest."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an image is not on a node: the last failed pull, or refused pod. `until`: it rests; None: for this spec."""

    reason: str
    message: str
    until: datetime | None
    attempts: int


@dataclass(frozen=True, slots=True)
class Answer:
    """The API server has made a pod for these images on a node; or why it refuses the pod."""

    node: str
    images: tuple[str, ...]
    refusal: Refusal | None = None


@dataclass(slots=True)
class Memory:
    """Of one list. `images` are the different ones, in their full form and in order; `texts` as the list has them."""

    uid: str
    expectations: PodExpectations[Keeper]
    generation: int = -1
    images: tuple[str, ...] = ()
    texts: Mapping[str, str] = field(default_factory=dict[str, str])
    duplicates: tuple[str, ...] = ()
    sizes: Sizes = field(default_factory=lambda: Sizes(None))
    used: set[str] = field(default_factory=set[str])
    pass_started: datetime | None = None
    failures: dict[str, dict[str, Failure]] = field(default_factory=dict[str, dict[str, Failure]])
    """By node and image."""
    refusal: Refusal | None = None
    refusals: int = 0
    refused_until: datetime | None = None
    written: SandboxImages | None = None
    """The list as the API server gave it after this process's last write."""
    changed_at: float | None = None
    """Time of the clock since which the status has something to report that is not written yet."""
    _merges_from: dict[str, datetime] = field(default_factory=dict[str, datetime])
    """By node: when pods may be merged again after a merged one has failed."""
    _counted: dict[str, State] = field(default_factory=dict[str, State])
    """By UID of a pod: the state that has been taken in."""

    def read(self, item: SandboxImages, room: int | None, now: datetime) -> bool:
        """Take over the spec, if it has changed, and at first the status; whether it has changed."""
        if self.generation == item.metadata.generation:
            return False
        texts: dict[str, str] = {}
        duplicates: dict[str, None] = {}
        for text in item.spec.images:
            if full(text) in texts:
                duplicates[full(text)] = None
            else:
                texts[full(text)] = text
        first = self.generation == -1
        self.generation, self.images, self.texts = item.metadata.generation, tuple(texts), texts
        self.duplicates = tuple(texts[image] for image in duplicates)
        self.sizes.room = room
        if first and item.status.pass_started and item.status.observed_generation == self.generation:
            self.used = passes.decode(self.images, item.status.used)
            self.pass_started = times.parse(item.status.pass_started)
        self.used &= texts.keys()
        # Pods say in which second they were made.
        self.pass_started = self.pass_started or now.replace(microsecond=0)
        # A changed list is a new attempt.
        self.failures.clear()
        self._refused(None, now)
        return True

    def order(self) -> tuple[list[str], list[str]]:
        """The images to keep, the most urgent first, and those that have been used in this pass."""
        if self.sizes.room is None or sum(map(self.sizes.of, self.images)) <= self.sizes.room:
            return list(self.images), []
        return (
            [image for image in self.images if image not in self.used],
            [image for image in self.images if image in self.used],
        )

    def sandbox_started(self, image: str, when: datetime) -> bool:
        """A sandbox has this image, since `when`; whether that is news."""
        if image not in self.texts or image in self.used or (self.pass_started and when < self.pass_started):
            return False
        self.used.add(image)
        return True

    def begin_next_pass(self, now: datetime) -> bool:
        """Begin again with the first image if sandboxes have used all that can be pulled."""
        failing = {image for failures in self.failures.values() for image in failures}
        if not self.used or not self.used | failing >= set(self.images):
            return False
        self.used.clear()
        self.pass_started = now.replace(microsecond=0)
        return True

    def learn(self, on_nodes: Iterable[Mapping[str, int]], keepers: Iterable[Keeper]) -> None:
        """Take over the sizes that nodes report: of the list's images, and of those that pods still hold."""
        images = self.texts.keys() | {image for keeper in keepers for image in keeper.images}
        self.sizes.forget_others(images)
        for on_node in on_nodes:
            self.sizes.learn(images, on_node)

    def look(self, node: str, keepers: Iterable[Keeper], now: datetime) -> None:
        """Remember what has become of a node's pods, and which images are too large for it."""
        failures = self.failures.setdefault(node, {})
        for keeper in keepers:
            # The end of a pod that is being deleted is no failure.
            if keeper.deletion_requested or self._counted.get(keeper.uid) is keeper.state:
                continue
            self._counted[keeper.uid] = keeper.state
            if keeper.state is State.READY:
                for image in keeper.images:
                    failures.pop(image, None)
            elif keeper.state is State.FAILED:
                self._rest(node, keeper.images, keeper.reason, keeper.message, now)
        for image, size in self.sizes.too_large(self.texts):
            failures[image] = Failure(TOO_LARGE, f"It has {size} bytes, more than maxDisk.", None, 1)

    def _rest(self, node: str, images: Sequence[str], reason: str, message: str, now: datetime) -> None:
        """Count a failure of a pod with these images: its one image is left alone for a while, or all merging is."""
        if len(images) != 1:
            self._merges_from[node] = now + LONGEST_REST
            return
        failures = self.failures.setdefault(node, {})
        [image] = images
        attempts = failures[image].attempts + 1 if image in failures else 1
        until = now + doubled(attempts, SHORTEST_REST, LONGEST_REST)
        failures[image] = Failure(reason, message[:MESSAGE_CHARACTERS], until, attempts)

    def forget_others(self, nodes: Collection[str], pods: Collection[str]) -> None:
        """Keep what belongs to these nodes and to pods with these UIDs."""
        self.failures = {node: failures for node, failures in self.failures.items() if node in nodes}
        self._merges_from = {node: time for node, time in self._merges_from.items() if node in nodes}
        self._counted = {uid: state for uid, state in self._counted.items() if uid in pods}

    def resting(self, node: str, now: datetime) -> set[str]:
        """The images that are not to be tried on this node now."""
        return {
            image for image, failure in self.failures.get(node, {}).items() if not failure.until or now < failure.until
        }

    def may_merge(self, node: str, now: datetime) -> bool:
        """Whether pods of the node may be merged."""
        return node not in self._merges_from or now >= self._merges_from[node]

    def size(self, keepers: Iterable[Keeper], on_node: Mapping[str, int], now: datetime) -> Callable[[str], int]:
        """How many bytes an image counts on a node."""
        settled = {
            image for keeper in keepers if keeper.since and now >= keeper.since + _SETTLED for image in keeper.images
        }
        return lambda image: self.sizes.of(image, settled, on_node)

    def answered(self, answers: Collection[Answer], now: datetime) -> None:
        """Take in what became of new pods. All others wait if none was made, or if all share the cause."""
        refused = [(answer, answer.refusal) for answer in answers if answer.refusal]
        shared = next((refusal for _, refusal in refused if refusal.reason is not Reason.POD_REFUSED), None)
        for answer, refusal in refused:
            if refusal.reason is Reason.POD_REFUSED:
                self._rest(answer.node, answer.images, refusal.reason, refusal.message, now)
        self._refused(shared or (refused[0][1] if len(refused) == len(answers) else None), now)

    def _refused(self, refusal: Refusal | None, now: datetime) -> None:
        self.refusal = refusal
        self.refusals = self.refusals + 1 if refusal else 0
        self.refused_until = (
            now + doubled(self.refusals, timedelta(seconds=10), timedelta(minutes=1)) if refusal else None
        )

    def due(self, now: datetime) -> datetime | None:
        """When something is to be done though nothing changes."""
        rests = [failure.until for failures in self.failures.values() for failure in failures.values()]
        return min((time for time in [*rests, self.refused_until] if time and time > now), default=None)
