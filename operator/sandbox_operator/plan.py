"""What is to be done about one sandbox: pure, from what is known of it."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sandbox_crds.keys import MasterKeys
from sandbox_crds.kube import KubeObject, Resource
from sandbox_crds.kube.resources import PODS, SECRETS, SERVICES, VOLUME_CLAIMS
from sandbox_crds.models import Sandbox, SandboxClass
from sandbox_crds.reasons import Reason
from sandbox_operator import times
from sandbox_operator.builders.event import EventReason, build_event
from sandbox_operator.builders.pod import build_pod, runtime_class
from sandbox_operator.builders.secret import build_secret
from sandbox_operator.builders.service import build_service
from sandbox_operator.builders.volume import build_volume_claim
from sandbox_operator.findings import Finding, examine
from sandbox_operator.pods import Pod
from sandbox_operator.redaction import redacted, redacted_pod
from sandbox_operator.status import READY, next_status, patch, reports

PATIENCE = timedelta(seconds=2)
"""How long a passing state lasts before it is told: a second, and one more since times have whole seconds."""

SHORTEST_LIFE = timedelta(seconds=10)
"""How old a failed pod must be to be replaced: one that its node rejects at once would be made again and again."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the API server did not make one of the objects."""

    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class Made:
    """What this process has made, or found made: the key in the Secret, and the pod once all else is there too."""

    key_id: str
    pod_uid: str = ""


@dataclass(frozen=True, slots=True)
class World:
    """What is known of one sandbox. `refusal` is that of the creation that has just been tried."""

    sandbox: Sandbox
    class_: SandboxClass | None
    pod: Pod | None
    now: datetime
    made: Made | None = None
    refusal: Refusal | None = None


@dataclass(frozen=True, slots=True)
class Create:
    """One object to POST."""

    resource: Resource
    body: KubeObject


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do, in this order: all creations side by side and then the events; the pod's deletion; the status.

    A plan that creates ends there: the next one is made with the outcome. `status` is a merge patch, or None.
    """

    creates: tuple[Create, ...] = ()
    events: tuple[KubeObject, ...] = ()
    delete: Pod | None = None
    status: dict[str, Any] | None = None
    requeue_at: datetime | None = None


def plan(world: World, keys: MasterKeys) -> Plan:
    """The next steps for one sandbox. Idempotent: in the world that they lead to, nothing is left to do."""
    sandbox = world.sandbox
    if sandbox.metadata.deletion_timestamp:
        return Plan()
    if world.pod and world.pod.owner_uid != sandbox.metadata.uid:
        # Not ours: it is neither touched nor reported. To create ours is refused as long as it is there.
        world = replace(world, pod=None)
    pod = redacted_pod(world.pod, _secrets(world, keys)) if world.pod else None
    if world.refusal:
        return _tell(replace(world, pod=None), keys, Finding(world.refusal.reason, world.refusal.message))
    if sandbox.spec.suspend:
        return _suspend(world, keys)
    if pod and pod.deletion_requested:
        ends = Finding(Reason.POD_TERMINATING, "The pod ends; a new one follows.", pod.deletion_requested)
        return _tell(world, keys, ends)
    if pod and pod.is_finished:
        return _replace_failed(world, keys, pod)
    if pod is None or not _is_complete(world, pod):
        return _create(world, keys)
    return _tell(world, keys, examine(pod))


def _replace_failed(world: World, keys: MasterKeys, pod: Pod) -> Plan:
    why = ": ".join(part for part in (pod.reason or pod.phase, pod.message) if part)
    told = _tell(world, keys, Finding(Reason.POD_FAILED, f"{why.rstrip('.')}. It is replaced."))
    due = pod.created + SHORTEST_LIFE
    return replace(told, delete=pod) if world.now >= due else replace(told, requeue_at=due)


def _suspend(world: World, keys: MasterKeys) -> Plan:
    pod = world.pod
    if pod is None:
        return _tell(world, keys, Finding(Reason.SUSPENDED, _suspended_message(world)))
    ends = Finding(Reason.SUSPENDING, "The pod ends.", passing_since=pod.deletion_requested or world.now)
    return replace(_tell(world, keys, ends), delete=None if pod.deletion_requested else pod)


def _suspended_message(world: World) -> str:
    condition = world.sandbox.status.condition(READY)
    if condition and condition.reason == Reason.SUSPENDED:
        # What was said at the time holds, even if the class has been changed since.
        return condition.message
    if not world.sandbox.status.launch or world.class_ is None:
        return ""
    if world.class_.spec.workspace.persistent:
        return "The workspace is kept."
    return f"The workspace was not kept: the class {world.sandbox.spec.class_name} has no persistent workspace."


def _is_complete(world: World, pod: Pod) -> bool:
    """Whether all of a sandbox's objects are there: so this process knows, or so says a status about this pod."""
    return reports(world.sandbox.status, pod) or (world.made is not None and world.made.pod_uid == pod.uid)


def _create(world: World, keys: MasterKeys) -> Plan:
    sandbox, class_ = world.sandbox, world.class_
    if class_ is None:
        name = sandbox.spec.class_name
        # The class of a new sandbox may be just as new, and on its way through another watch.
        since = times.parse(sandbox.metadata.creation_timestamp)
        missing = Finding(Reason.SANDBOX_CLASS_NOT_FOUND, f"There is no SandboxClass {name} in this namespace.", since)
        return _tell(replace(world, pod=None), keys, missing)
    creates = [Create(SECRETS, build_secret(sandbox, class_, keys, _key_id(world, keys)))]
    if class_.spec.workspace.persistent:
        creates.append(Create(VOLUME_CLAIMS, build_volume_claim(sandbox, class_)))
    if sandbox.spec.service == "Headless":
        creates.append(Create(SERVICES, build_service(sandbox)))
    events: list[KubeObject] = []
    if world.pod is None:
        creates.append(Create(PODS, build_pod(sandbox, class_)))
        if runtime_class(sandbox, class_) is None:
            events.append(_runtime_class_dropped(sandbox, world.now))
    return Plan(creates=tuple(creates), events=tuple(events))


def _runtime_class_dropped(sandbox: Sandbox, now: datetime) -> KubeObject:
    note = (
        f"Runtime class {sandbox.spec.runtime_class_name} is not listed in runtimeClasses of SandboxClass "
        f"{sandbox.spec.class_name}: the pod runs with the cluster's default."
    )
    return build_event(
        sandbox, now, type_="Warning", reason=EventReason.RUNTIME_CLASS_DROPPED, action="CreatePod", note=note
    )


def _key_id(world: World, keys: MasterKeys) -> str:
    """The sandbox's key; a new one for a new sandbox, or when the master key of the old one is gone."""
    known = world.made.key_id if world.made else world.sandbox.status.key_id
    return known if known and keys.knows(known) else keys.key_id(world.sandbox.metadata.uid)


def _secrets(world: World, keys: MasterKeys) -> tuple[str, str]:
    """What no message may hold."""
    key_id = _key_id(world, keys)
    return keys.session_key(key_id), keys.secret_key(key_id)


def _tell(world: World, keys: MasterKeys, finding: Finding) -> Plan:
    """The plan that writes the finding into the status, now or when it has lasted."""
    sandbox, pod = world.sandbox, world.pod
    finding = replace(finding, message=redacted(_with_history(world, finding), _secrets(world, keys)))
    if finding.passing_since:
        due = finding.passing_since + PATIENCE
        if world.now < due and not _contradicts(sandbox, finding):
            return Plan(requeue_at=due)
    written = world.made.key_id if world.made else sandbox.status.key_id
    status = next_status(sandbox, pod, finding, written, world.now)
    return Plan(status=patch(sandbox.status, status) or None)


def _with_history(world: World, finding: Finding) -> str:
    status, pod = world.sandbox.status, world.pod
    if finding.passing_since is None or pod is None:
        return finding.message
    condition = status.condition(READY)
    if reports(status, pod):
        # A passing state is told once: its details are not worth further writes.
        return condition.message if condition and condition.reason == finding.reason else finding.message
    if status.pod_name and finding.reason in {Reason.PENDING, Reason.STARTING}:
        return f"The earlier pod is gone, this one replaces it. {finding.message}"
    return finding.message


def _contradicts(sandbox: Sandbox, finding: Finding) -> bool:
    """Whether the status says that the sandbox is ready, and nobody knows better.

    Who has set `suspend` knows; all others must learn at once that the address in the status does not answer.
    """
    condition = sandbox.status.condition(READY)
    return condition is not None and condition.status == "True" and finding.reason is not Reason.SUSPENDING
