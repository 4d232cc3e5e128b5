"""Changes that this process has just made to pods of one object, until its cache shows them."""

from collections.abc import Callable, Iterable
from dataclasses import Field, replace
from datetime import datetime
from typing import Any, ClassVar, Protocol


class Seen(Protocol):
    """A pod in decoded form."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def name(self) -> str: ...
    @property
    def uid(self) -> str: ...
    @property
    def resource_version(self) -> str: ...


class PodExpectations[T: Seen]:
    """Pods of one object that were created or deleted.

    `seen()` returns the resource version up to which the cache of pods is complete.
    """

    def __init__(self, seen: Callable[[], int]) -> None:
        self._seen = seen
        self._created: dict[str, T] = {}
        self._deleted: dict[str, str] = {}

    def created(self, pod: T) -> None:
        """Note a new pod, as the API server has stored it."""
        self._created[pod.uid] = pod

    def deleted(self, pod: T) -> None:
        """Note that the API server has deleted the pod in this state, or marked it as being deleted."""
        self._deleted[pod.uid] = pod.resource_version

    def overlay(self, cached: Iterable[T], get: Callable[[str], T | None], now: datetime) -> list[T]:
        """The cached pods, corrected by what this process knows.

        `get(name)` returns a cached pod, also one that is not among them.
        """
        pods = list(cached)
        # If the cache has passed a pod's version and does not show the pod, the pod is gone.
        self._created = {
            uid: pod
            for uid, pod in self._created.items()
            if self._seen() < int(pod.resource_version) and ((known := get(pod.name)) is None or known.uid != uid)
        }
        shown = [*pods, *self._created.values()]
        self._deleted = {
            pod.uid: pod.resource_version for pod in shown if self._deleted.get(pod.uid) == pod.resource_version
        }
        return [replace(pod, deletion_requested=now) if pod.uid in self._deleted else pod for pod in shown]
