"""The pods of a namespace by owner: the Sandbox that has them, or the pool that keeps them free.

All lookups are in memory, and none gets slower with the number of pods.
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
    """A free pod that this process tries to claim. Set `taken` once the API server says that it is claimed."""

    def __init__(self, pod: Pod) -> None:
        self.pod = pod
        self.taken = False


class PodIndex:
    """Index of the pods. Call `changed` for each change of a pod.

    `on_change(pool)` is called, in the event loop, when the pods of a pool change. `unfit(pod)` says why a pod's node
    takes no more such pods; "" if it does. `clock` is monotonic, in seconds.
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
        """Number of claims in progress."""
        self.claimed_at = float("-inf")
        """Clock time at which the last claim ended."""
        self.pause = float("inf")
        """Seconds between the end of the claim before the last one and the begin of the last one; 0 if they overlapped.
        """

    def changed(self, name: str, pod: Pod | None) -> Pod | None:
        """Take the pod as it is now; None if it is gone. Returns its former state."""
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
        """The pods of the Sandbox with this UID."""
        return self._by_owner.get(uid, {}).values()

    def free(self, pool: str) -> list[Pod]:
        """The pool's pods that no sandbox has claimed or is about to claim."""
        pods = self._by_pool.get(pool)
        return [pod for pod in pods.free.values() if not self._is_spoken_for(pod)] if pods else []

    def ready(self, template: str) -> int:
        """Number of ready free pods with this template, including those that are about to be claimed."""
        return len(self._ready.get(template, ()))

    def pools(self) -> Collection[str]:
        """Names of the pools that have pods."""
        return self._by_pool.keys()

    def claimed(self, pool: str) -> int:
        """Number of the pool's pods that sandboxes have claimed or are about to claim."""
        pods = self._by_pool.get(pool)
        return pods.claimed + sum(map(self._is_spoken_for, pods.free.values())) if pods else 0

    @contextmanager
    def reserve(
        self, template: str, is_usable: Callable[[Pod], bool] = lambda _: True
    ) -> Generator[Reservation | None]:
        """Reserve a ready free pod with this template for one claim; None if there is none.

        The oldest pod comes first, and pods on unfit nodes come last. Pods that are not `is_usable` are skipped. A pod
        that turned out to be taken, by this claim or another one, is not offered again.
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
