"""The pods of a namespace by who has them: a Sandbox, or a pool that keeps them for one.

Everything here is a look into memory; no question costs more with the number of pods.
"""

import time
from collections.abc import Callable, Collection, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sandbox_operator.watching.pods import Pod


@dataclass(slots=True)
class _PoolPods:
    free: dict[str, Pod] = field(default_factory=dict[str, Pod])
    claimed: int = 0


class Reservation:
    """A free pod that a claim of this process tries. Set `taken` when the API server has said that somebody has it."""

    def __init__(self, pod: Pod) -> None:
        self.pod = pod
        self.taken = False


class Stock:
    """Follows the pods. `changed` must be called for each change of a pod.

    `on_change(pool)` is called, in the event loop, when a pool has other pods than before. `unfit(pod)` says why a
    pod's node takes no more such pods, "" when it does. `clock` is monotonic, in seconds.
    """

    def __init__(
        self,
        on_change: Callable[[str], None] = lambda _: None,
        unfit: Callable[[Pod], str] = lambda _: "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._on_change = on_change
        self.unfit = unfit
        self._clock = clock
        self._pods: dict[str, Pod] = {}
        self._by_owner: dict[str, dict[str, Pod]] = {}
        self._by_pool: dict[str, _PoolPods] = {}
        self._ready: dict[str, dict[str, Pod]] = {}
        self._reserved: set[str] = set()
        self._taken: set[str] = set()
        self.claims = 0
        """Claims that are under way."""
        self.claimed_at = float("-inf")
        """When the last claim ended, by the clock."""
        self.pause = float("inf")
        """Seconds between the last claim's begin and the end of the one before; 0 when they overlapped."""

    def changed(self, name: str, pod: Pod | None) -> Pod | None:
        """Take the pod as it is now, None when it is gone; gives it as it was before."""
        before = self._pods.pop(name, None)
        if before:
            self._remove(before)
        if pod:
            self._pods[name] = pod
            self._insert(pod)
        if pod is None or not pod.is_free:
            self._taken.discard(name)
        for pool in {known.pool for known in (before, pod) if known and known.pool}:
            self._on_change(pool)
        return before

    def get(self, name: str) -> Pod | None:
        """The pod of this name."""
        return self._pods.get(name)

    def owned_by(self, uid: str) -> Collection[Pod]:
        """The pods of the Sandbox of this UID."""
        return self._by_owner.get(uid, {}).values()

    def free(self, pool: str) -> list[Pod]:
        """The pool's pods that no sandbox has, nor is about to claim."""
        pods = self._by_pool.get(pool)
        return [pod for pod in pods.free.values() if not self._is_spoken_for(pod)] if pods else []

    def ready(self, template: str) -> int:
        """How many free pods of this template are ready, those that are about to be claimed included."""
        return len(self._ready.get(template, ()))

    def pools(self) -> Collection[str]:
        """The names of pools that have pods."""
        return self._by_pool.keys()

    def claimed(self, pool: str) -> int:
        """How many pods of the pool sandboxes have, or are about to."""
        pods = self._by_pool.get(pool)
        return pods.claimed + sum(map(self._is_spoken_for, pods.free.values())) if pods else 0

    @contextmanager
    def reserve(
        self, template: str, is_usable: Callable[[Pod], bool] = lambda _: True
    ) -> Generator[Reservation | None]:
        """A free and ready pod of this template, for one claim; None when there is none.

        The oldest goes first; those whose node takes no more such pods go last. One that is not `is_usable` is passed
        over. A pod that turned out to be taken, by this claim or another, is not offered again.
        """
        found = self._best(template, is_usable)
        if found is None:
            yield None
            return
        reservation = Reservation(found)
        self._reserved.add(found.name)
        self.pause = 0.0 if self.claims else self._clock() - self.claimed_at
        self.claims += 1
        try:
            yield reservation
        finally:
            self.claims -= 1
            self.claimed_at = self._clock()
            self._reserved.discard(found.name)
            if reservation.taken and (known := self._pods.get(found.name)) and known.is_free:
                self._taken.add(found.name)
            self._on_change(found.pool)

    def _best(self, template: str, is_usable: Callable[[Pod], bool]) -> Pod | None:
        last: Pod | None = None
        for pod in self._ready.get(template, {}).values():
            if self._is_spoken_for(pod) or not is_usable(pod):
                continue
            if not self.unfit(pod):
                return pod
            last = last or pod
        return last

    def _is_spoken_for(self, pod: Pod) -> bool:
        return pod.name in self._reserved or pod.name in self._taken

    def _insert(self, pod: Pod) -> None:
        if pod.owner_uid:
            self._by_owner.setdefault(pod.owner_uid, {})[pod.name] = pod
        if not pod.pool:
            return
        pods = self._by_pool.setdefault(pod.pool, _PoolPods())
        if not pod.is_free:
            pods.claimed += 1
            return
        pods.free[pod.name] = pod
        if pod.is_ready and not pod.deletion_requested and not pod.is_finished:
            self._ready.setdefault(pod.template, {})[pod.name] = pod

    def _remove(self, pod: Pod) -> None:
        _discard(self._by_owner, pod.owner_uid, pod.name)
        if not pod.pool:
            return
        pods = self._by_pool[pod.pool]
        if pod.is_free:
            pods.free.pop(pod.name)
            _discard(self._ready, pod.template, pod.name)
        else:
            pods.claimed -= 1
        if not pods.free and not pods.claimed:
            del self._by_pool[pod.pool]


def _discard(index: dict[str, dict[str, Pod]], key: str, name: str) -> None:
    entries = index.get(key)
    if entries is not None and entries.pop(name, None) and not entries:
        del index[key]
