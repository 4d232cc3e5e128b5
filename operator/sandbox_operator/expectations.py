"""What this process has just done to pods, until its cache shows it."""

from dataclasses import dataclass, replace
from datetime import datetime

from sandbox_operator.pods import Pod

LIFETIME = 5.0
"""Seconds until the cache is believed again, whatever it shows."""


@dataclass(frozen=True, slots=True)
class _Expected:
    pod: Pod
    until: float


class Expectations:
    """Pods created and deleted, by key. Times are seconds of the event loop's clock."""

    def __init__(self) -> None:
        self._created: dict[str, _Expected] = {}
        self._deleted: dict[str, _Expected] = {}

    def created(self, key: str, pod: Pod, clock: float) -> None:
        """This pod has been answered by the API server."""
        self._created[key] = _Expected(pod, clock + LIFETIME)

    def deleted(self, key: str, pod: Pod, clock: float) -> None:
        """The API server has been asked to delete this pod."""
        self._deleted[key] = _Expected(pod, clock + LIFETIME)

    def forget(self, key: str) -> None:
        """The sandbox is gone."""
        self._created.pop(key, None)
        self._deleted.pop(key, None)

    def overlay(self, key: str, cached: Pod | None, now: datetime, clock: float) -> Pod | None:
        """The pod as it must be: the cached one, or what is known better."""
        created = self._created.get(key)
        if created:
            if clock >= created.until or (cached and cached.uid == created.pod.uid):
                del self._created[key]
            else:
                return created.pod
        deleted = self._deleted.get(key)
        if deleted:
            if clock >= deleted.until or cached is None or cached.uid != deleted.pod.uid or cached.deletion_requested:
                del self._deleted[key]
            else:
                return replace(cached, deletion_requested=now)
        return cached
