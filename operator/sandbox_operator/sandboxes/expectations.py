"""What this process has just done to pods, until its cache shows it."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime

from sandbox_operator.watching.pods import Pod

LIFETIME = 5.0
"""Seconds until the cache is believed again, whatever it shows."""


@dataclass(frozen=True, slots=True)
class _Expected:
    pod: Pod
    until: float


class Expectations:
    """Pods created or claimed, and pods deleted, by the sandbox's key. Times are seconds of the event loop's clock."""

    def __init__(self) -> None:
        self._gained: dict[str, _Expected] = {}
        self._deleted: dict[str, dict[str, _Expected]] = {}

    def gained(self, key: str, pod: Pod, clock: float) -> None:
        """This pod of the sandbox, new or claimed, has been answered by the API server."""
        self._gained[key] = _Expected(pod, clock + LIFETIME)

    def deleted(self, key: str, pod: Pod, clock: float) -> None:
        """The API server has been asked to delete this pod."""
        self._deleted.setdefault(key, {})[pod.uid] = _Expected(pod, clock + LIFETIME)

    def forget(self, key: str) -> None:
        """The sandbox is gone."""
        self._gained.pop(key, None)
        self._deleted.pop(key, None)

    def overlay(self, key: str, cached: Collection[Pod], now: datetime, clock: float) -> Collection[Pod]:
        """The pods as they must be: the cached ones, or what is known better."""
        pods = self._with_gained(key, cached, clock)
        deleted = self._deleted.get(key)
        if not deleted:
            return pods
        by_uid = {pod.uid: pod for pod in pods}
        for uid, expected in list(deleted.items()):
            pod = by_uid.get(uid)
            if pod is None or pod.deletion_requested or clock >= expected.until:
                del deleted[uid]
            else:
                by_uid[uid] = replace(pod, deletion_requested=now)
        if not deleted:
            del self._deleted[key]
        return by_uid.values()

    def _with_gained(self, key: str, cached: Collection[Pod], clock: float) -> Collection[Pod]:
        gained = self._gained.get(key)
        if gained is None:
            return cached
        if clock >= gained.until or any(pod.uid == gained.pod.uid for pod in cached):
            del self._gained[key]
            return cached
        # An earlier pod of the same name was gone when this one was made.
        return [*(pod for pod in cached if pod.name != gained.pod.name), gained.pod]
