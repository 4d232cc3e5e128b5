"""Everything else in the cluster: a node that runs pods, the garbage collector, and what may become of pods."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any

from sandbox_common.kube import KubeObject
from sandbox_common.times import rfc3339
from sandbox_crds.names import CONTAINER
from schedules.api_server import ApiServer, Change
from unit.sandbox_operator.faults import merged

_NODE = "node-1"
_PAUSE = 0.5


class Cluster:
    """Runs pods within seconds, ends deleted ones, and deletes objects without an owner.

    Without `runs_pods`, others play the node.
    """

    def __init__(
        self, server: ApiServer, draw: random.Random, now: Callable[[], datetime], *, runs_pods: bool = True
    ) -> None:
        self._server = server
        self._draw = draw
        self._now = now
        self._runs_pods = runs_pods
        self._tasks: set[asyncio.Task[None]] = set()
        self._collecting = False
        self._addresses = 0
        self.lost: set[str] = set()
        """UIDs of pods that neither operators nor the garbage collector have ended."""
        server.listeners.append(self._changed)

    def end(self) -> None:
        """Stop all of it."""
        for task in self._tasks:
            task.cancel()

    def lose(self, pod: KubeObject) -> None:
        """The pod is gone without a word, like one whose node is deleted."""
        self.lost.add(pod["metadata"]["uid"])
        self._server.delete("pods", pod["metadata"]["name"], grace=0)

    def drain(self, pod: KubeObject) -> None:
        """Somebody deletes the pod."""
        self.lost.add(pod["metadata"]["uid"])
        self._server.delete("pods", pod["metadata"]["name"])

    def evict(self, pod: KubeObject) -> None:
        """The node ends the pod, and its object stays."""
        self.lost.add(pod["metadata"]["uid"])
        now = rfc3339(self._now())
        unready = {"type": "Ready", "status": "False", "lastTransitionTime": now}
        status = {"phase": "Failed", "reason": "Evicted", "message": "low on memory", "conditions": [unready]}
        self._report(pod, {**status, "containerStatuses": []})

    def _changed(self, change: Change) -> None:
        if change.plural == "pods" and change.after and self._runs_pods:
            pod = change.after
            if change.before is None:
                self._begin(self._run(pod["metadata"]["name"], pod["metadata"]["uid"]))
            elif "deletionTimestamp" in pod["metadata"] and "deletionTimestamp" not in change.before["metadata"]:
                self._begin(self._stop(pod["metadata"]["name"], pod["metadata"]["uid"]))
        owned = change.after is not None and change.after["metadata"].get("ownerReferences")
        if (change.after is None or owned) and not self._collecting:
            self._collecting = True
            self._begin(self._collect())

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _pod(self, name: str, uid: str) -> KubeObject | None:
        """This pod, if it is to run."""
        pod = self._server.find("pods", name)
        if pod is None or pod["metadata"]["uid"] != uid or "deletionTimestamp" in pod["metadata"]:
            return None
        return None if pod["status"]["phase"] == "Failed" else pod

    async def _run(self, name: str, uid: str) -> None:
        await asyncio.sleep(self._draw.choice((0.05, 0.2, 1.5)))
        if pod := self._pod(name, uid):
            self._server.patch("pods", name, {"spec": {"nodeName": _NODE}})
        await asyncio.sleep(self._draw.choice((0.05, 0.5, 2.5)))
        while True:
            if not (pod := self._pod(name, uid)):
                return
            if self._has_what_it_mounts(pod):
                break
            await asyncio.sleep(_PAUSE)
        if pod:
            self._addresses += 1
            now = rfc3339(self._now())
            self._report(
                pod,
                {
                    "phase": "Running",
                    "podIP": f"10.0.{self._addresses // 250}.{self._addresses % 250}",
                    "conditions": [{"type": kind, "status": "True", "lastTransitionTime": now} for kind in _CONDITIONS],
                    "containerStatuses": [
                        {
                            "name": CONTAINER,
                            "ready": True,
                            "started": True,
                            "restartCount": 0,
                            "image": "",
                            "imageID": "",
                            "state": {"running": {"startedAt": now}},
                            "lastState": {},
                        }
                    ],
                },
            )

    def _has_what_it_mounts(self, pod: KubeObject) -> bool:
        spec = pod["spec"]
        secrets = [source["secretRef"]["name"] for source in spec["containers"][0].get("envFrom", ())]
        claims = [
            volume["persistentVolumeClaim"]["claimName"]
            for volume in spec.get("volumes", ())
            if "persistentVolumeClaim" in volume
        ]
        found = [self._server.find("persistentvolumeclaims", claim) for claim in claims]
        return all(self._server.find("secrets", name) for name in secrets) and all(
            claim and "deletionTimestamp" not in claim["metadata"] for claim in found
        )

    async def _stop(self, name: str, uid: str) -> None:
        await asyncio.sleep(self._draw.choice((0.02, 0.5, 3.0)))
        pod = self._server.find("pods", name)
        if pod and pod["metadata"]["uid"] == uid:
            self._server.delete("pods", name, grace=0)

    def _report(self, pod: KubeObject, status: dict[str, Any]) -> None:
        body = {"status": merged(pod["status"], status)}
        self._server.patch("pods", pod["metadata"]["name"], body, "status")

    async def _collect(self) -> None:
        await asyncio.sleep(self._draw.choice((0.01, 0.3, 2.0)))
        self._collecting = False
        everything = [(plural, item) for plural in _PLURALS for item in self._server.all(plural)]
        uids = {item["metadata"]["uid"] for _, item in everything}
        for plural, item in everything:
            metadata = item["metadata"]
            owners = metadata.get("ownerReferences") or ()
            ends = plural == "persistentvolumeclaims" and "deletionTimestamp" in metadata
            if (owners and not any(owner["uid"] in uids for owner in owners)) or (
                ends and not self._server.is_used(metadata["name"])
            ):
                self._server.delete(plural, metadata["name"])


_CONDITIONS = ("PodScheduled", "Ready")
_PLURALS = ("sandboxes", "sandboxpools", "pods", "secrets", "services", "persistentvolumeclaims")
