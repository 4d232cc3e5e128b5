"""What this process has just done to a pool's pods, until its cache shows it."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime

from sandbox_operator.watching.pods import Pod


class Expectations:
    """Pods of one pool that were created and deleted.

    `seen` gives the resource version up to which the cache of pods is complete.
    """

    def __init__(self, seen: Callable[[], int]) -> None:
        self._seen = seen
        self._created: dict[str, Pod] = {}
        self._deleted: dict[str, str] = {}

    def created(self, pod: Pod) -> None:
        """This is how the API server has stored a new pod."""
        self._created[pod.uid] = pod

    def deleted(self, pod: Pod) -> None:
        """The API server has deleted the pod, or marked it, in just this state."""
        self._deleted[pod.uid] = pod.resource_version

    def overlay(self, free: Iterable[Pod], get: Callable[[str], Pod | None], now: datetime) -> list[Pod]:
        """The free pods as they must be: those of the cache, or what is known better.

        `get` gives the cached pod of a name, free or not.
        """
        pods = list(free)
        # What the cache has gone past, it shows; a pod that it does not show is gone again.
        self._created = {
            uid: pod
            for uid, pod in self._created.items()
            if self._seen() < int(pod.resource_version) and ((known := get(pod.name)) is None or known.uid != uid)
        }
        self._deleted = {
            pod.uid: pod.resource_version for pod in pods if self._deleted.get(pod.uid) == pod.resource_version
        }
        shown = [replace(pod, deletion_requested=now) if pod.uid in self._deleted else pod for pod in pods]
        return [*shown, *self._created.values()]
