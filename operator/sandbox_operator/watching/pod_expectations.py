"""Changes that this process has just made to pods of one object, until its cache shows them."""

import time
from collections.abc import Callable, Iterable
from dataclasses import Field, replace
from datetime import datetime
from typing import Any, ClassVar, Protocol

LIFETIME = 120.0
"""Seconds after which the cache counts again, whatever it shows: etcd may have been restored to an earlier state."""


class Seen(Protocol):
    """A pod in decoded form."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def name(self) -> str: ...
    @property
    def uid(self) -> str: ...
    @property
    def resource_version(self) -> str: ...
    @property
    def deletion_requested(self) -> datetime | None: ...


class PodExpectations[T: Seen]:
    """Pods that an object got, and its deleted pods.

    `seen()` returns the resource version up to which the cache of pods is complete. `clock` is monotonic, in seconds.
    """

    __slots__ = ("_clock", "_created", "_deleted", "_seen")

    def __init__(self, seen: Callable[[], int], clock: Callable[[], float] = time.monotonic) -> None:
        self._seen = seen
        self._clock = clock
        self._created: dict[str, tuple[T, float]] = {}
        """By name, with the end of its lifetime."""
        self._deleted: dict[str, float] = {}
        """By UID, the end of its lifetime."""

    @property
    def pending(self) -> bool:
        """Whether the last look expected anything. If a pod has come and gone, no change of the cache says so."""
        return bool(self._created or self._deleted)

    def created(self, pod: T) -> None:
        """Note a pod that is new, or new for this object, as the API server has stored it."""
        self._created[pod.name] = pod, self._clock() + LIFETIME

    def deleted(self, pod: T) -> None:
        """Note that the API server has deleted the pod, or marked it as being deleted."""
        self._deleted[pod.uid] = self._clock() + LIFETIME

    def overlay(self, cached: Iterable[T], get: Callable[[str], T | None], now: datetime) -> list[T]:
        """The cached pods, corrected by what this process knows.

        `get(name)` returns a cached pod, also one that is not among them.
        """
        if not self.pending:
            return list(cached)
        clock = self._clock()
        self._created = {
            name: (pod, until)
            for name, (pod, until) in self._created.items()
            if clock < until and not self._is_shown(pod, get(name))
        }
        # An earlier pod of the same name was gone when this one was made.
        pods = [pod for pod in cached if pod.name not in self._created]
        pods += [pod for pod, _ in self._created.values()]
        self._deleted = {
            pod.uid: self._deleted[pod.uid]
            for pod in pods
            if not pod.deletion_requested and clock < self._deleted.get(pod.uid, clock)
        }
        return [replace(pod, deletion_requested=now) if pod.uid in self._deleted else pod for pod in pods]

    def _is_shown(self, pod: T, known: T | None) -> bool:
        """Whether the cache has passed this state of the pod. If it does not show the pod then, the pod is gone."""
        version = int(pod.resource_version)
        is_known = known is not None and known.uid == pod.uid and int(known.resource_version) >= version
        return is_known or self._seen() >= version
