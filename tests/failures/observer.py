"""How long the operator takes to tell what Kubernetes knows: every state of a namespace, with the time it arrived."""

import asyncio
import sys
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

from local_cluster.progress import Progress
from sandbox_common.kube import Informer, KubeClient, KubeObject, Resource
from sandbox_common.kube.resources import EVENTS, PODS, SANDBOXES
from sandbox_common.reasons import Reason

type Knows = Callable[[KubeObject], bool]


@dataclass(frozen=True, slots=True)
class Seen:
    """One state of an object, None once it is gone. `at` is monotonic time in seconds."""

    at: float
    resource: Resource
    name: str
    state: KubeObject | None


class Observer:
    """Follows pods, Events and Sandboxes by watches, as any other client of the API server does."""

    def __init__(self) -> None:
        self._seen: list[Seen] = []

    @classmethod
    @asynccontextmanager
    async def following(cls, client: KubeClient, namespace: str) -> AsyncGenerator[Self]:
        """An observer that has seen what was there at the start."""
        observer = cls()
        informers = [observer._informer(client, namespace, resource) for resource in (PODS, EVENTS, SANDBOXES)]
        tasks = [asyncio.create_task(informer.run()) for informer in informers]
        try:
            for informer in informers:
                await informer.wait_synced()
            yield observer
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _informer(self, client: KubeClient, namespace: str, resource: Resource) -> Informer[KubeObject]:
        def see(name: str, state: KubeObject | None) -> None:
            self._seen.append(Seen(time.monotonic(), resource, name, state))

        return Informer(client, resource, namespace, lambda item: item, on_change=see)

    def say_delay(self, case: str, sandbox: str, reason: Reason, resource: Resource, knows: Knows) -> None:
        """Print the seconds from the first state of an object of the sandbox that `knows` to the condition's reason.

        Raises AssertionError when one of them was not seen.
        """
        mine = [seen for seen in self._seen if seen.state is not None and _is_about(seen, sandbox)]
        known = next((seen.at for seen in mine if seen.resource is resource and seen.state and knows(seen.state)), None)
        assert known is not None, f"no state of {resource.plural} of {sandbox} was as expected"
        told = next((seen.at for seen in mine if _reason(seen) == reason), None)
        assert told is not None, f"{reason} was not told of {sandbox}"
        Progress(sys.__stderr__).say(f"  told {told - known:6.2f} s after Kubernetes: {reason}, {case}")

    def reasons(self, sandbox: str) -> list[str]:
        """The reasons that its condition `Ready` has had so far, one after the other."""
        all_ = [_reason(seen) for seen in self._seen if seen.name == sandbox]
        return [reason for before, reason in pairwise(["", *all_]) if reason not in {"", before}]


def waits(*reasons: str) -> Knows:
    """Whether a container of the pod waits for one of these reasons."""

    def knows(pod: KubeObject) -> bool:
        statuses = [*_of_status(pod, "initContainerStatuses"), *_of_status(pod, "containerStatuses")]
        waiting = [status.get("state", {}).get("waiting", {}) for status in statuses]
        return any(state.get("reason") in reasons for state in waiting)

    return knows


def has_ended(pod: KubeObject) -> bool:
    """Whether a container of the pod has ended, in this run or the one before."""
    statuses = _of_status(pod, "containerStatuses")
    return any(status.get(part, {}).get("terminated") for status in statuses for part in ("state", "lastState"))


def has_condition(type_: str, status: str) -> Knows:
    """Whether the pod has this condition."""

    def knows(pod: KubeObject) -> bool:
        found = [condition for condition in _of_status(pod, "conditions") if condition["type"] == type_]
        return any(condition["status"] == status for condition in found)

    return knows


def is_event(*reasons: str) -> Knows:
    """Whether the Event has one of these reasons."""
    return lambda event: event.get("reason") in reasons


def is_being_deleted(item: KubeObject) -> bool:
    """Whether somebody has deleted the object."""
    return "deletionTimestamp" in item["metadata"]


def exists(_: KubeObject) -> bool:
    """Whether there is such an object at all."""
    return True


def _is_about(seen: Seen, sandbox: str) -> bool:
    name: str = seen.name
    if seen.resource is EVENTS and seen.state:
        name = seen.state["regarding"]["name"]
    # Pods and claims have the sandbox's name, and a digest behind it.
    return name == sandbox or name.rpartition("-")[0] == sandbox


def _reason(seen: Seen) -> str:
    if seen.resource is not SANDBOXES or seen.state is None:
        return ""
    conditions = _of_status(seen.state, "conditions")
    return next((condition["reason"] for condition in conditions if condition["type"] == "Ready"), "")


def _of_status(item: KubeObject, field: str) -> list[KubeObject]:
    return item.get("status", {}).get(field) or []
