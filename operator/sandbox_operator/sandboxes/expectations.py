"""Changes that this process has just made to a sandbox's pods, until its cache shows them."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime

from sandbox_operator.watching.pods import Pod

LIFETIME = 5.0
"""Seconds after which the cache counts again, whatever it shows."""


@dataclass(frozen=True, slots=True)
class _Expected:
    pod: Pod
    until: float


class Expectations:
    """The pod that a sandbox got, and its deleted pods. `clock` is monotonic, in seconds."""

    __slots__ = ("_deleted", "_gained")

    def __init__(self) -> None:
        self._gained: _Expected | None = None
        self._deleted: dict[str, _Expected] = {}

    def gained(self, pod: Pod, clock: float) -> None:
        """Note a new or claimed pod of the sandbox, as the API server has stored it."""
        self._gained = _Expected(pod, clock + LIFETIME)

    @property
    def until(self) -> float | None:
        """Clock time at which a pod that the cache does not show stops counting; None if there is no such pod.

        If the pod is gone by then, no change of the cache reports this.
        """
        return self._gained and self._gained.until

    def deleted(self, pod: Pod, clock: float) -> None:
        """Note that the API server was asked to delete this pod."""
        self._deleted[pod.uid] = _Expected(pod, clock + LIFETIME)

    def overlay(self, cached: Collection[Pod], now: datetime, clock: float) -> Collection[Pod]:
        """The cached pods, corrected by what this process knows."""
        pods = self._with_gained(cached, clock)
        if not self._deleted:
            return pods
        by_uid = {pod.uid: pod for pod in pods}
        for uid, expected in list(self._deleted.items()):
            pod = by_uid.get(uid)
            if pod is None or pod.deletion_requested or clock >= expected.until:
                del self._deleted[uid]
            else:
                by_uid[uid] = replace(pod, deletion_requested=now)
        return by_uid.values()

    def _with_gained(self, cached: Collection[Pod], clock: float) -> Collection[Pod]:
        gained = self._gained
        if gained is None:
            return cached
        if clock >= gained.until or any(pod.uid == gained.pod.uid for pod in cached):
            self._gained = None
            return cached
        # An earlier pod of the same name was gone when this one was made.
        return [*(pod for pod in cached if pod.name != gained.pod.name), gained.pod]
