"""Image pulls as kubelets report them in Events: which are under way, and how long the next one will take.

A kubelet posts `Pulling image "x"` when it has to pull, then waits for its turn, since it pulls one image after another
unless its `serializeImagePulls` is false, and at last posts `Successfully pulled image "x" in 2.3s (4.1s including
waiting). Image size: 123 bytes.` (Kubernetes 1.36, pkg/kubelet/images). containerd's size is the compressed one, of
the whole image: also of layers that were on the node already.
"""

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from sandbox_common import cluster_events
from sandbox_common.cluster_events import ClusterEvent
from sandbox_common.kube import KubeObject
from sandbox_common.recent import remember

SELECTOR = "regarding.kind=Pod,type=Normal,reason!=Scheduled,reason!=Created,reason!=Started,reason!=Killing"
"""Of Events: `Pulling` and `Pulled`, and little besides. A field selector cannot name two reasons."""

_PULLING = re.compile(r'Pulling image "([^"]+)"')
_PULLED = re.compile(
    r'Successfully pulled image "([^"]+)" in ([\dhms.µn]+)(?: \([\dhms.µn]+ including waiting\))?'
    r"(?:\. Image size: (\d{1,15}) bytes)?"
)
_PARTS = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|s|µs|ns)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "µs": 1e-6, "ns": 1e-9}

_SHORTEST = 1.0
"""Seconds: a shorter pull has found the image on the node, or is over before anybody asks how long it will take."""
_REMEMBERED = 32
"""Pulls of one node."""
_FADING = 0.85
"""The weight of a pull, compared with that of the next one."""
_LONGEST = timedelta(hours=1)
"""Events live so long. What began before, and has no end, has been given up."""
_MOST_SECONDS = 86400.0
"""What an Event says of a longer pull is not true, and nobody waits for longer."""
_YEARS = range(2000, 3000)
"""Events of others teach nothing. They would break the arithmetic of times."""
_TOGETHER = timedelta(seconds=1.5)
"""Events have whole seconds: pulls that overlap by more have run side by side."""


@dataclass(frozen=True, slots=True)
class PullEvent:
    """What one Event says of a pull. `seconds`, without waiting, and `size` in bytes are those of one that is over."""

    pod_uid: str
    pod_name: str
    image: str
    node: str
    seen: datetime
    seconds: float | None = None
    size: int = 0


@dataclass(frozen=True, slots=True)
class PullUnderWay:
    """A pull that a pod waits for; 0: not known. `is_asked`: the size may be known in a moment."""

    image: str
    node: str
    since: datetime
    size: int = 0
    expected_seconds: float = 0.0
    is_asked: bool = False


@dataclass(frozen=True, slots=True)
class FinishedPull:
    """A pull that has succeeded."""

    image: str
    began: datetime
    ended: datetime


@dataclass(frozen=True, slots=True, order=True)
class _Sample:
    ended: datetime
    pod_uid: str
    seconds: float
    size: int

    @property
    def began(self) -> datetime:
        return self.ended - timedelta(seconds=self.seconds)


@dataclass(frozen=True, slots=True, order=True)
class _Queued:
    """A pull under way, in the order in which a kubelet makes them."""

    since: datetime
    image: str
    pod_uid: str
    pod_name: str = field(compare=False)


@dataclass(slots=True)
class _Attempts:
    """Pulls of one image for one pod: when the last one began, and when the last one succeeded."""

    began: datetime | None = None
    ended: datetime | None = None

    @property
    def since(self) -> datetime | None:
        """Since when a pull is under way, if one is."""
        return None if self.began and self.ended and self.ended >= self.began else self.began


def decode(item: KubeObject) -> PullEvent | None:
    """What an Event says of a pull, if it does. Raises ValueError when it does not have the form of an Event."""
    return read(cluster_events.decode(item))


def read(event: ClusterEvent) -> PullEvent | None:
    """The only place where the kubelet's words about pulls are understood."""
    if event.seen.year not in _YEARS:
        return None
    if event.reason == "Pulling" and (match := _PULLING.match(event.note)):
        return PullEvent(event.uid, event.name, match[1], event.host, event.seen)
    if event.reason == "Pulled" and (match := _PULLED.match(event.note)):
        seconds, size = _duration(match[2]), int(match[3] or 0)
        return PullEvent(event.uid, event.name, match[1], event.host, event.seen, seconds, size)
    return None


class Pulls:
    """What is known of pulls, from Events in any order. Bounded; all of it may be lost, and is as old as Events are."""

    def __init__(self) -> None:
        self._pods: dict[str, dict[str, _Attempts]] = {}
        """By UID and image."""
        self._queues: dict[str, dict[tuple[str, str], _Queued]] = {}
        """Pulls under way by node, there by the pod's UID and image."""
        self._samples: dict[str, list[_Sample]] = {}
        """By node, the oldest first."""
        self._sizes: dict[str, int] = {}
        """Of images, as kubelets have reported them."""

    def see(self, event: PullEvent) -> None:
        """Take in what an Event says."""
        attempts = self._pods.get(event.pod_uid, {}).get(event.image, _Attempts())
        if event.seconds is None:
            attempts.began = max(event.seen, attempts.began or event.seen)
        else:
            attempts.ended = max(event.seen, attempts.ended or event.seen)
            self._learn(event, event.seconds)
        remember(self._pods, event.pod_uid, {**self._pods.get(event.pod_uid, {}), event.image: attempts})
        queue = self._queues.get(event.node, {})
        if attempts.since:
            pull = _Queued(attempts.since, event.image, event.pod_uid, event.pod_name)
            remember(queue, (event.pod_uid, event.image), pull)
        else:
            queue.pop((event.pod_uid, event.image), None)
        remember(self._queues, event.node, queue)

    def _learn(self, event: PullEvent, seconds: float) -> None:
        if not event.size or seconds > _MOST_SECONDS:
            return
        remember(self._sizes, event.image, event.size)
        sample, samples = _Sample(event.seen, event.pod_uid, seconds, event.size), self._samples.get(event.node, [])
        if seconds >= _SHORTEST and sample not in samples:
            remember(self._samples, event.node, sorted([*samples, sample])[-_REMEMBERED:])

    def finished(self, pod_uid: str) -> list[FinishedPull]:
        """The pulls for a pod that have succeeded, in order."""
        attempts = self._pods.get(pod_uid, {}).items()
        pulls = [
            FinishedPull(image, of_image.began, of_image.ended)
            for image, of_image in attempts
            if of_image.began and of_image.ended and of_image.since is None
        ]
        return sorted(pulls, key=lambda pull: pull.began)

    def of(
        self, pod_uid: str, node: str, waits: Callable[[str, str], bool], now: datetime, size_of: Callable[[str], int]
    ) -> PullUnderWay | None:
        """The pull that a pod on this node waits for; None when there is none.

        `waits` says of a name and a UID whether this pod still waits for its containers. `size_of` gives the
        bytes of an image that the caller knows, or 0. Without a size there is no prediction.
        """
        under_way = {
            since: image for image, attempts in self._pods.get(pod_uid, {}).items() if (since := attempts.since)
        }
        if not under_way:
            return None
        since = max(under_way)
        image = under_way[since]
        size = self._size(image, size_of)
        end = self._end(_Queued(since, image, pod_uid, ""), node, waits, now, size_of) if size else None
        return PullUnderWay(image, node, since, size, (end - since).total_seconds() if end else 0.0)

    def _end(
        self, own: _Queued, node: str, waits: Callable[[str, str], bool], now: datetime, size_of: Callable[[str], int]
    ) -> datetime | None:
        """When the pull will probably be over; None when no other pull is known."""
        size = self._size(own.image, size_of)
        samples = self._samples.get(node, [])
        is_parallel = _side_by_side(samples)
        others: dict[str, _Queued] = {}
        for other in self._waiting(node, waits, now):
            # The node pulls nothing twice, and one image after another those that are before this one.
            if other.image != own.image and (is_parallel or other < own):
                others.setdefault(other.image, other)
        if is_parallel:
            # All share what the node can pull, until the smaller one is there. Others will come as some go.
            shared = sum(min(size, self._size(image, size_of) or size) for image in others)
            seconds = self._seconds(node, size, waits, now)
            return None if seconds is None else own.since + timedelta(seconds=seconds * (1 + shared / size))
        free = max((sample.ended for sample in samples), default=own.since)
        for other in (*others.values(), own):
            seconds = self._seconds(node, self._size(other.image, size_of) or size, waits, now)
            if seconds is None:
                return None
            free = max(free, other.since) + timedelta(seconds=seconds)
            # The first one may take longer than it should.
            free = free if other is own else max(free, now)
        return free

    def _size(self, image: str, size_of: Callable[[str], int]) -> int:
        return size_of(image) or self._sizes.get(image, 0)

    def _waiting(self, node: str, waits: Callable[[str, str], bool], now: datetime) -> list[_Queued]:
        """The pulls that are under way on the node, in their order."""
        queue = self._queues.get(node, {})
        for key in [key for key, pull in queue.items() if pull.since < now - _LONGEST]:
            del queue[key]
        return sorted(pull for pull in queue.values() if waits(pull.pod_name, pull.pod_uid))

    def _seconds(self, node: str, size: int, waits: Callable[[str, str], bool], now: datetime) -> float | None:
        """How long a pull of this many bytes takes if it is the only one: on this node, or on others if it has none."""
        nodes = [node] if node in self._samples else self._samples
        alone = sorted(sample for each in nodes for sample in self._alone(each, waits, now))
        seconds = estimate([(sample.seconds, sample.size) for sample in alone[: -_REMEMBERED - 1 : -1]], size)
        return None if seconds is None else min(seconds, _MOST_SECONDS)

    def _alone(self, node: str, waits: Callable[[str, str], bool], now: datetime) -> Iterable[_Sample]:
        """The pulls of a node, each with the seconds that it would have taken if it had been the only one."""
        samples = self._samples[node]
        spans = [(sample.began, sample.ended) for sample in samples]
        if _side_by_side(samples):
            spans += [(pull.since, now) for pull in self._waiting(node, waits, now)]
        for sample in samples:
            # The sum includes the pull itself.
            together = sum(_overlap(sample.began, sample.ended, *span) for span in spans)
            yield replace(sample, seconds=sample.seconds / max(1.0, together / sample.seconds))


def _overlap(began: datetime, ended: datetime, other_began: datetime, other_ended: datetime) -> float:
    return max(0.0, (min(ended, other_ended) - max(began, other_began)).total_seconds())


def estimate(samples: Iterable[tuple[float, int]], size: int) -> float | None:
    """Seconds for a pull of this size, from (seconds, size) of others, the latest first; None without any.

    The median of their rates, in which the latest count most, and those of images of about this size: a small image
    costs more for each byte, and images that share a layer are mostly of one size.
    """
    rates: list[tuple[float, float]] = []
    weight = 1.0
    for seconds, sample in samples:
        rates.append((sample / seconds, weight / (1 + math.log(sample / size) ** 2)))
        weight *= _FADING
    half = sum(weight for _, weight in rates) / 2
    for rate, weight in sorted(rates):
        half -= weight
        if half <= 0:
            return size / rate
    return None


def _side_by_side(samples: list[_Sample]) -> bool:
    """Whether the node has pulled two images at the same time."""
    latest: datetime | None = None
    for sample in samples:
        if latest and sample.began < latest - _TOGETHER:
            return True
        latest = sample.ended
    return False


def _duration(text: str) -> float:
    """Seconds of a duration as Go writes it."""
    return sum(float(number) * _SECONDS[unit] for number, unit in _PARTS.findall(text))
