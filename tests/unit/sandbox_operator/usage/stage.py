"""Sandboxes and their pods, and a recorder of their use, in a time of its own."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from sandbox_common.kube import KubeObject, Resource
from sandbox_common.kube.objects import Objects
from sandbox_common.times import rfc3339
from sandbox_common.usage import added, seconds
from sandbox_crds.models import Sandbox, SandboxClass, SandboxUsage, UsageAmounts
from sandbox_crds.names import usage_name
from sandbox_operator.usage.api import UsageApi
from sandbox_operator.usage.recorder import UsageRecorder
from sandbox_operator.watching.pods import Pod, PodCondition
from sandbox_operator.watching.queue import WorkQueue
from unit.sandbox_operator.faults import Server

BEGIN = seconds("2026-11-01T00:00:00Z")
CPU, MEMORY, STORAGE = 500, 1024, 10 * 1024


def text(time: float) -> str:
    return rfc3339(datetime.fromtimestamp(int(time), UTC))


class Known[T](Objects[T]):
    """Objects that a test changes."""

    def put(self, name: str, item: T | None) -> None:
        if item is None:
            self._objects.pop(name, None)
        else:
            self._objects[name] = item


class Timers(WorkQueue):
    """Keeps in mind when each owner is due."""

    def __init__(self, stage: "Stage") -> None:
        super().__init__()
        self._stage = stage
        self.due: dict[str, float] = {}

    def add_after(self, key: str, seconds: float) -> None:
        self.due[key] = min(self.due.get(key, float("inf")), self._stage.now + seconds)

    def drop(self, key: str) -> None:
        self.due.pop(key, None)


class Records(Server):
    """The API server. Each write is noted with its time and the object's name."""

    def __init__(self, stage: "Stage") -> None:
        super().__init__()
        self._stage = stage
        self.writes: list[tuple[float, str]] = []

    async def create(self, resource: Resource, namespace: str, body: KubeObject) -> KubeObject:
        stored = await super().create(resource, namespace, body)
        self.writes.append((self._stage.now, body["metadata"]["name"]))
        return stored

    async def patch(
        self, resource: Resource, namespace: str, name: str, body: Mapping[str, Any], *, subresource: str = ""
    ) -> KubeObject:
        stored = await super().patch(resource, namespace, name, body, subresource=subresource)
        self.writes.append((self._stage.now, name))
        return stored


class Stage:
    """A namespace with the class `default`, which has a volume. `now` is in seconds since 1970."""

    def __init__(self) -> None:
        self.now: float = BEGIN
        self.server = Records(self)
        self.sandboxes = Known[Sandbox]()
        self.classes = Known[SandboxClass]()
        self.set_size("10Gi")
        self.pods: dict[str, dict[str, Pod]] = {}
        self.leads()

    def leads(self) -> None:
        """A new leader takes over, who remembers nothing; it has yet to begin."""
        self.timers = Timers(self)
        self.recorder = UsageRecorder(
            UsageApi(self.server.client, "here"),
            self.timers,
            self.sandboxes,
            self.classes,
            lambda uid: self.pods.get(uid, {}).values(),
            lambda: datetime.fromtimestamp(self.now, UTC),
        )

    def set_size(self, size: str) -> None:
        spec = {"egress": "None", "workspace": {"persistent": True, "size": size}}
        self.classes.put("default", SandboxClass.model_validate({"metadata": {"name": "default"}, "spec": spec}))

    def put(self, name: str, owner: str = "team", created: float = BEGIN, **status: Any) -> None:
        """Make or change a Sandbox; its UID is `uid of {name}`."""
        metadata = {"name": name, "uid": f"uid of {name}", "creationTimestamp": text(created)}
        body = {"metadata": metadata, "spec": {"image": "i", "owner": owner}, "status": status}
        self.sandboxes.put(name, Sandbox.model_validate(body))
        self.recorder.changed(name)

    def bind(self, name: str, pod: str = "pod", *, created: float | None = None, **fields: Any) -> None:
        """A pod of the Sandbox is on a node."""
        since = datetime.fromtimestamp(int(self.now), UTC)
        made = Pod(
            name=pod,
            uid=f"{pod} of {name}",
            owner_uid=f"uid of {name}",
            created=since if created is None else datetime.fromtimestamp(created, UTC),
            image="i",
            node="node",
            scheduled=PodCondition(True, "", "", since),
            requests=(CPU, MEMORY),
        )
        self.pods.setdefault(f"uid of {name}", {})[pod] = replace(made, **fields)
        self.recorder.changed(name)

    def end(self, name: str, pod: str = "pod") -> None:
        """The pod is deleted, and its containers end."""
        pods = self.pods[f"uid of {name}"]
        pods[pod] = replace(pods[pod], deletion_requested=datetime.fromtimestamp(int(self.now), UTC))
        self.recorder.changed(name)

    def gone(self, name: str, pod: str = "pod") -> None:
        """The pod has gone."""
        self.pods[f"uid of {name}"].pop(pod, None)
        self.recorder.changed(name)

    def delete(self, name: str) -> None:
        """The Sandbox has gone, and its pods with it."""
        self.pods.pop(f"uid of {name}", None)
        self.sandboxes.put(name, None)
        self.recorder.changed(name)

    async def until(self, time: float) -> None:
        """Let the time pass; owners that are due are recorded."""
        while self.timers.due:
            due, owner = min((when, owner) for owner, when in self.timers.due.items())
            if due > time:
                break
            self.now = max(self.now, due)
            del self.timers.due[owner]
            await self.recorder.record(owner)
        self.now = max(self.now, time)

    def record(self, owner: str = "team") -> SandboxUsage | None:
        """The record of this owner."""
        found = self.server.objects.get(("sandboxusages", usage_name(owner)))
        return SandboxUsage.model_validate(found) if found else None

    def total(self, owner: str = "team") -> UsageAmounts:
        """All that is recorded of this owner."""
        found = self.record(owner)
        return added(row for rows in found.status.days.values() for row in rows.values()) if found else UsageAmounts()


def suspended(time: float) -> dict[str, Any]:
    """The status of a sandbox that has been suspended then, with its volume."""
    return {"conditions": [_condition("Suspended", time)], "launch": "Cold", "workspaceKept": True}


def ready(time: float, first: float, launch: str, pod_uid: str) -> dict[str, Any]:
    """The status of a sandbox that became ready then."""
    return {
        "conditions": [_condition("Ready", time)],
        "launch": launch,
        "workspaceKept": True,
        "podUID": pod_uid,
        "startTime": text(time),
        "readyTime": text(time),
        "firstReadyTime": text(first),
    }


def _condition(reason: str, time: float) -> dict[str, str]:
    return {"type": "Ready", "status": "False", "reason": reason, "lastTransitionTime": text(time)}
