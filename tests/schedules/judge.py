"""What must be so whatever happens, and what must be so in the end."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from sandbox_common.kube import KubeObject
from sandbox_common.reasons import SUSPENSIONS, Reason
from sandbox_common.times import parse
from sandbox_crds.models import Sandbox
from sandbox_operator.reporting.conditions import READY
from sandbox_operator.watching.pods import KEY_ID_ANNOTATION, Pod, controller_uid, decode
from schedules.api_server import ApiServer, Change
from schedules.cluster import Cluster
from schedules.schedule import POOL, Schedule

_QUIET_SECONDS = 100.0
_MEMORY_SECONDS = 60.0
"""For so long, an operator may act on a wish that has been taken back."""


@dataclass
class _Known:
    """What has been said about one Sandbox, by its UID."""

    key_id: str = ""
    volume_claim: str = ""
    changed: float = field(default=0.0)
    """When its users have last asked for anything."""


class Judge:
    """Looks at every change of an object. `complaints` says what was wrong."""

    def __init__(self, server: ApiServer, cluster: Cluster, schedule: Schedule, tell: Callable[[str], None]) -> None:
        self.complaints: list[str] = []
        self._server = server
        self._cluster = cluster
        self._schedule = schedule
        self._tell = tell
        self._known: dict[str, _Known] = {}
        self._last_write = 0.0
        server.listeners.append(self._changed)

    def _complain(self, what: str) -> None:
        self._tell(f"WRONG: {what}")
        self.complaints.append(what)

    def _changed(self, change: Change) -> None:
        now = asyncio.get_running_loop().time()
        if change.plural != "sandboxusages":
            self._last_write = now
        if change.plural == "sandboxes" and change.after:
            self._sandbox_changed(change.before, change.after, now)
        elif change.plural == "pods" and change.before:
            self._pod_changed(change.before, change.after, now)
        elif change.plural == "events" and change.after and change.after["reason"] == "PodLost":
            uid, sandbox = change.name.rpartition(".")[2], change.after["regarding"]["uid"]
            # The pods of a deleted Sandbox may go before an operator sees that it is deleted.
            exists = any(item["metadata"]["uid"] == sandbox for item in self._server.all("sandboxes"))
            found = self._server.find("sandboxes", change.after["regarding"]["name"])
            told = Sandbox.model_validate(found) if found else None
            # A pod that does not end in time counts as lost with its node, and so does one whose watch is silent.
            condition = told and told.status.condition(READY)
            if condition and condition.reason == Reason.NODE_LOST:
                return
            # Each of two leaders may end a pod that the other one takes for the sandbox's.
            if exists and uid not in self._cluster.lost and self._schedule.operators == 1:
                self._complain(f"pod {uid} is said to be lost")

    def _sandbox_changed(self, before: KubeObject | None, after: KubeObject, now: float) -> None:
        known = self._known.setdefault(after["metadata"]["uid"], _Known())
        if before is None or before["spec"] != after["spec"]:
            known.changed = now
        status = Sandbox.model_validate(after).status
        told = status.condition(READY)
        self._tell(f"{after['metadata']['name']} is {told and told.reason} with pod {status.pod_uid}")
        if status.pod_name and status.key_id:
            if known.key_id and known.key_id != status.key_id:
                self._complain(f"the key of {after['metadata']['name']} has changed")
            known.key_id = status.key_id
        if told and told.status == "True":
            pod = self._server.find("pods", status.pod_name)
            if pod and pod["metadata"]["uid"] == status.pod_uid and controller_uid(pod) != after["metadata"]["uid"]:
                self._complain(f"{after['metadata']['name']} is ready with the pod of another one")
            if known.volume_claim and known.volume_claim != status.volume_claim:
                self._complain(f"the volume of {after['metadata']['name']} has changed")
            known.volume_claim = status.volume_claim

    def _pod_changed(self, before: KubeObject, after: KubeObject | None, now: float) -> None:
        """A pod that works ends only if somebody has wished it."""
        ends = after is None or "deletionTimestamp" in after["metadata"]
        uid = before["metadata"]["uid"]
        if not ends or "deletionTimestamp" in before["metadata"] or uid in self._cluster.lost:
            return
        pod = decode(before)
        for item in self._server.all("sandboxes"):
            sandbox = Sandbox.model_validate(item)
            if sandbox.metadata.uid != pod.owner_uid or sandbox.status.pod_uid != uid or sandbox.spec.suspend:
                continue
            settled = now - self._known[pod.owner_uid].changed > _MEMORY_SECONDS
            if settled and not _is_outdated(sandbox, pod):
                self._complain(f"the pod of {sandbox.metadata.name} was deleted")

    def end(self) -> None:
        """Look at what there is in the end."""
        if asyncio.get_running_loop().time() - self._last_write < _QUIET_SECONDS:
            self._complain("the operators do not come to rest")
        there = [item for plural in ("sandboxes", "sandboxpools", "pods") for item in self._server.all(plural)]
        owners = {item["metadata"]["uid"] for item in there}
        for item in self._server.all("sandboxes"):
            self._judge_sandbox(Sandbox.model_validate(item))
        for plural in ("pods", "secrets", "services", "persistentvolumeclaims"):
            for item in self._server.all(plural):
                if controller_uid(item) not in owners:
                    self._complain(f"{plural} {item['metadata']['name']} is left over")
        if self._schedule.replicas:
            self._judge_pool()

    def _of(self, plural: str, uid: str) -> Mapping[str, KubeObject]:
        return {item["metadata"]["name"]: item for item in self._server.all(plural) if controller_uid(item) == uid}

    def _judge_sandbox(self, sandbox: Sandbox) -> None:
        name, status, uid = sandbox.metadata.name, sandbox.status, sandbox.metadata.uid
        told, pods = status.condition(READY), self._of("pods", uid)
        if status.observed_generation != sandbox.metadata.generation:
            self._complain(f"{name} was not looked at")
        wanted = SUSPENSIONS[sandbox.spec.suspend_reason] if sandbox.spec.suspend else Reason.READY
        if told is None or told.reason != wanted:
            self._complain(f"{name} is {told and told.reason}, not {wanted}")
        if sandbox.spec.suspend:
            if pods:
                self._complain(f"{name} is suspended, and has the pods {sorted(pods)}")
            return
        if [pod["metadata"]["uid"] for pod in pods.values()] != [status.pod_uid]:
            self._complain(f"{name} has the pods {sorted(pods)}, not {status.pod_name}")
            return
        pod = decode(pods[status.pod_name])
        if _is_outdated(sandbox, pod):
            self._complain(f"{name} was not restarted")
        secret = self._server.find("secrets", status.pod_name)
        if secret is None or secret["metadata"]["annotations"].get(KEY_ID_ANNOTATION) != status.key_id:
            self._complain(f"the Secret of {name} has not its key")
        volumes = self._of("persistentvolumeclaims", uid)
        if self._schedule.persistent and not (pod.volume_claim == status.volume_claim in volumes):
            self._complain(f"{name} has the volume {pod.volume_claim}, not {status.volume_claim} of {sorted(volumes)}")
        if bool(self._of("services", uid)) != (sandbox.spec.service != "None"):
            self._complain(f"the Services of {name}: {sorted(self._of('services', uid))}")

    def _judge_pool(self) -> None:
        pool = self._server.get("sandboxpools", POOL)
        free = self._of("pods", pool["metadata"]["uid"])
        if len(free) != pool["spec"]["replicas"]:
            self._complain(f"the pool has {len(free)} pods, not {pool['spec']['replicas']}")
        for name, pod in free.items():
            if pod["status"]["phase"] != "Running":
                self._complain(f"warm pod {name} is {pod['status']['phase']}")
            wanted = ["secrets", "persistentvolumeclaims"] if self._schedule.persistent else ["secrets"]
            for plural in wanted:
                if name not in self._of(plural, pod["metadata"]["uid"]):
                    self._complain(f"warm pod {name} has not its {plural}")
        ready = pool.get("status", {}).get("readyReplicas", 0)
        if ready != len(free):
            self._complain(f"the pool is said to have {ready} pods")


def _is_outdated(sandbox: Sandbox, pod: Pod) -> bool:
    """Whether the sandbox is to have a newer pod."""
    return bool(sandbox.spec.restarted_at) and (pod.claimed or pod.created) < parse(sandbox.spec.restarted_at)
