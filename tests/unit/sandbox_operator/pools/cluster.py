"""A cluster in memory whose watch may lag: what the pool controller writes to, and what it hears of it."""

import itertools
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, override

from sandbox_common.cluster_events import ClusterEvent
from sandbox_common.kube import ApiError, KubeObject
from sandbox_common.kube.resources import SANDBOX_CLASSES, SANDBOX_POOLS
from sandbox_common.times import rfc3339
from sandbox_crds.models import SandboxClass, SandboxPool
from sandbox_operator.pools.api import PoolApi
from sandbox_operator.pools.pod_index import PodIndex
from sandbox_operator.pools.reconciler import PoolReconciler
from sandbox_operator.reporting.refusals import Refusal
from sandbox_operator.watching.pods import Pod, decode
from sandbox_operator.watching.store import Store
from unit.sandbox_operator.samples import IMAGE, KEYS, NOW, condition, container

POOL = "warm"


class Cluster(PoolApi):
    """One pool, its pods, their Secrets and volume claims.

    `faults` are raised by the next requests, one each; None: that one goes well. With `loses_answers` that comes after
    the request has been done; `lost` are pods that were made so. `events` are those about volume claims.
    """

    def __init__(self, replicas: int) -> None:
        self.now = NOW
        self._version = itertools.count(100)
        self.pods: dict[str, Pod] = {}
        self.secrets: set[str] = set()
        self.volumes: set[str] = set()
        self.events: list[ClusterEvent] = []
        self.looks = 0
        self.refusal: Refusal | None = None
        self.volume_refusal: Refusal | None = None
        self.faults: list[Exception | None] = []
        self.loses_answers = False
        self.lost: set[str] = set()
        self._deleted = False
        self.writes: list[str] = []
        self.seen = 0
        self._events: deque[tuple[int, str, Pod | None]] = deque()
        self.pod_index = PodIndex(clock=self._clock)
        self.pools = Store(SANDBOX_POOLS, SandboxPool, lambda _: None)
        self.classes = Store(SANDBOX_CLASSES, SandboxClass, lambda _: None)
        self.set_class()
        self._pool: dict[str, Any] = {
            "metadata": {
                "name": POOL,
                "namespace": "here",
                "uid": "pool",
                "generation": 0,
                "creationTimestamp": rfc3339(NOW),
            },
            "spec": {"image": IMAGE, "replicas": replicas},
        }
        self.edit()
        self.restart()

    def restart(self) -> None:
        """A new operator, which begins with a list of all pods."""
        self.deliver(len(self._events))
        self.seen = next(self._version)
        self.reconciler = PoolReconciler(
            self,
            KEYS,
            self.pools,
            self.classes,
            self.pod_index,
            lambda: self.seen,
            lambda: self.now,
            self._clock,
        )

    def _clock(self) -> float:
        return self.now.timestamp()

    def set_class(self, **spec: Any) -> None:
        """Make or change the pool's class."""
        metadata = {"name": "default", "namespace": "here", "uid": "class", "resourceVersion": str(next(self._version))}
        self.classes.put({"metadata": metadata, "spec": {"egress": "Internet", **spec}})

    def edit(self, **spec: Any) -> None:
        """Change the pool's spec."""
        metadata = self._pool["metadata"]
        self._pool["spec"] = {**self._pool["spec"], **spec}
        metadata |= {"generation": metadata["generation"] + 1, "resourceVersion": str(next(self._version))}
        self.pools.put(self._pool)

    def delete(self) -> None:
        """Delete the pool."""
        self._deleted = True
        self.pools.drop(POOL, "pool")

    @property
    def pool(self) -> SandboxPool:
        """The pool as the operator knows it."""
        found = self.pools.get(POOL)
        assert found
        return found

    def advance(self, seconds: float) -> None:
        """Let time go by."""
        self.now += timedelta(seconds=seconds)

    def deliver(self, number: int) -> None:
        """Bring so many events about pods to the operator's cache, and the pool as it is."""
        if not self._deleted:
            self.pools.put(self._pool)
        for _ in range(min(number, len(self._events))):
            self.seen, name, pod = self._events.popleft()
            self.pod_index.changed(name, pod)

    def change(self, name: str, **fields: Any) -> None:
        """The pod of this name is different now."""
        version = next(self._version)
        self.pods[name] = replace(self.pods[name], resource_version=str(version), **fields)
        self._events.append((version, name, self.pods[name]))

    def vanish(self, name: str) -> None:
        """The pod of this name is gone, and all that it owns."""
        del self.pods[name]
        self.secrets.discard(name)
        self.volumes.discard(name)
        self._events.append((next(self._version), name, None))

    def become_ready(self, name: str) -> None:
        """The agent server of this pod answers."""
        running = container(waiting_reason="", running_since=self.now, ready=True)
        self.change(
            name,
            node="node-1",
            phase="Running",
            ready=condition(True, since=self.now),
            scheduled=None,
            container=running,
        )

    def fail(self, name: str) -> None:
        """The image of this pod cannot be pulled."""
        waits = container(waiting_reason="ImagePullBackOff", waiting_message="not found")
        self.change(name, node="node-1", ready=condition(False), scheduled=None, container=waits)

    def find_no_room(self, name: str) -> None:
        """No node has room for this pod."""
        self.change(name, scheduled=condition(False, "Unschedulable", "0/1 nodes: no room"))

    @property
    def live(self) -> list[Pod]:
        """Free pods that nobody has deleted."""
        return [pod for pod in self.pods.values() if pod.is_free and not pod.deletion_requested]

    def _fault(self, what: str) -> None:
        self.writes.append(what)
        if not self.loses_answers:
            self._raise()

    def _raise(self) -> None:
        if self.faults and (fault := self.faults.pop(0)):
            raise fault

    def _lose(self) -> None:
        if self.loses_answers:
            self._raise()

    @override
    async def create_pod(self, body: KubeObject) -> Pod | Refusal:
        self._fault("create pod")
        if self.refusal:
            return self.refusal
        version = next(self._version)
        stored = {"uid": f"uid-{version}", "resourceVersion": str(version), "creationTimestamp": rfc3339(self.now)}
        pod = decode({**body, "metadata": {**body["metadata"], **stored}})
        assert pod.name not in self.pods
        self.pods[pod.name] = pod
        self._events.append((version, pod.name, pod))
        try:
            self._lose()
        except Exception:
            self.lost.add(pod.name)
            raise
        return pod

    @override
    async def create_secret(self, body: KubeObject) -> Refusal | None:
        self._fault("create secret")
        self._own(self.secrets, body)
        self._lose()
        return None

    @override
    async def create_volume_claim(self, body: KubeObject) -> Refusal | None:
        self._fault("create volume claim")
        if self.volume_refusal:
            return self.volume_refusal
        self._own(self.volumes, body)
        self._lose()
        return None

    def _own(self, objects: set[str], body: KubeObject) -> None:
        metadata = body["metadata"]
        pod = self.pods.get(metadata["name"])
        # The garbage collector deletes what nobody owns.
        if pod and metadata["ownerReferences"][0]["uid"] == pod.uid:
            objects.add(metadata["name"])

    @override
    async def volume_events(self) -> tuple[ClusterEvent, ...]:
        self.looks += 1
        self._lose()
        return tuple(self.events)

    @override
    async def delete_pod(self, pod: Pod) -> None:
        self._fault("delete pod")
        found = self.pods.get(pod.name)
        if found is None:
            return
        if (found.uid, found.resource_version) != (pod.uid, pod.resource_version):
            raise ApiError(409, "Conflict", "the object has been modified")
        assert not found.sandbox, "a claimed pod was deleted"
        self.change(pod.name, deletion_requested=self.now)
        self._lose()

    @override
    async def patch_status(self, pool: SandboxPool, status: Mapping[str, Any]) -> KubeObject:
        self._fault("patch status")
        if pool.metadata.resource_version != self._pool["metadata"]["resourceVersion"]:
            raise ApiError(409, "Conflict", "the object has been modified")
        self._pool["status"] = {**self._pool.get("status", {}), **status}
        self._pool["metadata"]["resourceVersion"] = str(next(self._version))
        self._lose()
        return self._pool
