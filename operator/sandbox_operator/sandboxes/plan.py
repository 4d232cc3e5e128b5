"""What is to be done about one sandbox: pure, from what is known of it."""

from dataclasses import replace
from datetime import datetime, timedelta

from sandbox_common.command import AGENT
from sandbox_common.keys import MasterKeys
from sandbox_common.kube import KubeObject
from sandbox_common.kube.resources import PODS, SECRETS, SERVICES, VOLUME_CLAIMS
from sandbox_common.reasons import SUSPENSIONS, Reason
from sandbox_common.redaction import redacted
from sandbox_crds.models import Loss, Sandbox, SandboxClass
from sandbox_operator.builders.event import EventReason, build_event
from sandbox_operator.builders.pod import build_pod, is_runtime_class_dropped, runtime_class
from sandbox_operator.builders.refusals import refused
from sandbox_operator.builders.secret import build_secret
from sandbox_operator.builders.service import build_service
from sandbox_operator.builders.volume import build_volume_claim
from sandbox_operator.pools.claiming import is_first_start
from sandbox_operator.pools.deferred import Initialization, needs_init
from sandbox_operator.pools.matching import MissReason
from sandbox_operator.reporting.conditions import READY, patch, said
from sandbox_operator.reporting.evidence import find, is_needed, redacted_evidence
from sandbox_operator.reporting.finality import IMAGE_TROUBLES
from sandbox_operator.reporting.findings import (
    OVERDUE,
    Finding,
    abandoned_at,
    ending,
    examine,
    finished,
    is_without_cause,
    lost_node,
)
from sandbox_operator.reporting.lifetime import (
    announcement,
    expired_event,
    expires_at,
    expiring_events,
    nearest_limit,
    next_step_at,
    start_deadline,
    start_timeout_event,
    start_timeout_note,
)
from sandbox_operator.reporting.losses import lost_pod, lost_volume, vanished_pod, with_loss
from sandbox_operator.reporting.redaction import has_foreign_text, redacted_pod
from sandbox_operator.reporting.status import next_status, reports, with_expiring
from sandbox_operator.reporting.suspension import suspended_message
from sandbox_operator.sandboxes.replacement import (
    deletion_event,
    end_event,
    has_vanished,
    is_outdated,
    is_unasked,
    vanishing_event,
)
from sandbox_operator.sandboxes.services import change
from sandbox_operator.sandboxes.world import Create, Made, Plan, Prepare, World
from sandbox_operator.watching import times
from sandbox_operator.watching.pods import Pod

SILENCE = timedelta(seconds=5)
"""How long a pod waits without telling why before the Events about it are read."""

LOOK_INTERVAL = timedelta(seconds=5)
"""Between two reads of the Events about one pod."""

PATIENCE = timedelta(seconds=2)
"""How long a passing state lasts before it is told: a second, and one more since times have whole seconds."""

LONGEST_PATIENCE = timedelta(seconds=8)
"""When many start at once. A client is told its key after 10 s, which a status that has it spares a write."""

_PATIENCE_EACH = timedelta(milliseconds=20)

SHORTEST_LIFE = timedelta(seconds=10)
"""How old a failed pod must be to be replaced: one that its node rejects at once would be made again and again."""


def patience(untold: int) -> timedelta:
    """How long a passing state lasts before it is told, when so many others have one that is not told.

    In a crowd each one waits for the others, and writes that tell so would make all of them wait longer.
    """
    return min(PATIENCE + untold * _PATIENCE_EACH, LONGEST_PATIENCE)


def plan(world: World, keys: MasterKeys) -> Plan:
    """The next steps for one sandbox. Idempotent: in the world that they lead to, nothing is left to do."""
    sandbox = world.sandbox
    world = _without_keys(world, keys)
    if sandbox.metadata.deletion_timestamp:
        return replace(_terminate(world, keys), surplus=world.surplus)
    steps = _within_limits(world) or _until_limits(world, _steps(world, keys))
    if world.surplus:
        steps = replace(steps, surplus=world.surplus)
    # A Service that could not be made beside the pod is what the refusal is about.
    if not (steps.claim or steps.creates or world.refusal) and (
        served := change(world.sandbox, world.pod, world.service)
    ):
        steps = replace(steps, service=served)
    return steps


def _steps(world: World, keys: MasterKeys) -> Plan:
    """What is to be done about a sandbox that is within its limits: the first that applies."""
    sandbox, pod = world.sandbox, world.pod
    if world.refusal:
        refused = Finding(world.refusal.reason, world.refusal.message)
        return _tell(_without_pod(world, keys), keys, refused, _gone(world))
    if sandbox.spec.suspend:
        return _suspend(world, keys, pod)
    if pod and pod.deletion_requested:
        return _follow_deletion(world, keys, pod)
    if pod and is_outdated(sandbox, pod):
        restarts = Finding(Reason.POD_TERMINATING, "Restarted on request: the pod ends; a new one follows.")
        return _end(world, keys, _tell(world, keys, restarts), pod)
    if pod and pod.is_finished:
        return _replace_finished(world, keys, pod)
    if pod is None or not _is_complete(world, pod):
        return _create(world, keys)
    return _examine(world, keys, pod)


def _terminate(world: World, keys: MasterKeys) -> Plan:
    """The end of the pod of a sandbox that is deleted: a finalizer of others may keep the Sandbox for ever."""
    waits = ", ".join(world.sandbox.metadata.finalizers)
    message = f"The Sandbox is being deleted{f', and waits for its finalizers: {waits}' if waits else ''}."
    told, pod = _tell(world, keys, Finding(Reason.TERMINATING, message)), world.pod
    if pod is None:
        return told
    return _until_ended(told, pod, world.now) if pod.deletion_requested else _end(world, keys, told, pod)


def _within_limits(world: World) -> Plan | None:
    """The end of a sandbox, or of its start, that has reached a limit; None as long as it has not."""
    sandbox, class_, now = world.sandbox, world.class_, world.now
    limit = nearest_limit(sandbox, class_, world.pod)
    end = expires_at(sandbox, limit) if limit else None
    if limit and end and now >= end:
        return Plan(expire=True, afterwards=(expired_event(sandbox, limit, now),))
    deadline = start_deadline(sandbox, class_, world.pod)
    if deadline and now >= deadline:
        note = start_timeout_note(sandbox, class_)
        return Plan(suspend=note, afterwards=(start_timeout_event(sandbox, note, now),))
    return None


def _until_limits(world: World, steps: Plan) -> Plan:
    """The same steps, to be looked at again when the next limit is due."""
    sandbox, class_ = world.sandbox, world.class_
    limit = nearest_limit(sandbox, class_, world.pod)
    next_step = limit and next_step_at(sandbox, limit, world.now)
    return _again_at(steps, next_step, start_deadline(sandbox, class_, world.pod))


def _end(world: World, keys: MasterKeys, told: Plan, pod: Pod) -> Plan:
    """The plan that also deletes the pod, and before lets its agent server save its work if it answers."""
    if pod.is_ready and world.prepared != pod.uid:
        return replace(told, prepare=Prepare(pod, _key_id(world, keys)))
    return replace(told, delete=pod)


def _follow_deletion(world: World, keys: MasterKeys, pod: Pod) -> Plan:
    finding = ending(pod, world.now)
    # A silent node may come back, and its pod still be told of as lost once it is gone.
    unasked = finding.reason is not Reason.NODE_LOST and is_unasked(world.sandbox, pod)
    loss = lost_pod(world.sandbox, world.class_, pod, world.now) if unasked else None
    told = _tell(world, keys, finding, loss)
    if told.status and unasked:
        event = deletion_event(world.sandbox, world.class_, pod, world.now)
        told = replace(told, events=(*told.events, event))
    return _until_ended(told, pod, world.now)


def _replace_finished(world: World, keys: MasterKeys, pod: Pod) -> Plan:
    loss = lost_pod(world.sandbox, world.class_, pod, world.now)
    told = _tell(world, keys, finished(pod), loss)
    if told.status and loss:
        told = replace(told, events=(*told.events, end_event(world.sandbox, world.class_, pod, world.now)))
    due = pod.created + SHORTEST_LIFE
    return replace(told, delete=pod) if world.now >= due else replace(told, requeue_at=due)


def _suspend(world: World, keys: MasterKeys, pod: Pod | None) -> Plan:
    message = suspended_message(world.sandbox, world.class_, pod)
    if pod is None:
        return _tell(world, keys, Finding(SUSPENSIONS[world.sandbox.spec.suspend_reason], message))
    lost = lost_node(pod, world.now)
    what = f"The pod cannot end. {lost.message.rstrip('.')}." if lost else "The pod ends."
    # One that no status has told of must be: it may have a volume, and counts among its owner's sandboxes.
    since = None if lost or not world.sandbox.status.launch else pod.deletion_requested or world.now
    told = _tell(world, keys, Finding(Reason.SUSPENDING, f"{what} {message}", since))
    return _until_ended(told, pod, world.now) if pod.deletion_requested else _end(world, keys, told, pod)


def _until_ended(steps: Plan, pod: Pod, now: datetime) -> Plan:
    """The same steps for a deleted pod, to be looked at again when its node is to be taken for lost.

    The pod is abandoned when it is not to be waited for any more.
    """
    abandoned = abandoned_at(pod)
    if abandoned and now >= abandoned:
        return replace(steps, abandon=pod)
    times = (pod.deletion_due and pod.deletion_due + OVERDUE, abandoned)
    return _again_at(steps, *(time for time in times if time and time > now))


def _examine(world: World, keys: MasterKeys, pod: Pod) -> Plan:
    if needs_init(world.sandbox, pod) and world.initialization != Initialization():
        return _initialize(world, keys, pod)
    finding = examine(pod)
    told = world.sandbox.status.condition(READY)
    if is_without_cause(pod) and told and reports(world.sandbox.status, pod) and told.reason in IMAGE_TROUBLES:
        # What the attempt before has come to, which the kubelet says only until it waits.
        finding = Finding(Reason(told.reason), said(told))
    if not is_needed(pod):
        return _tell(world, keys, finding)
    due = (world.looked + LOOK_INTERVAL) if world.looked else pod.created + SILENCE
    if world.now >= due:
        return Plan(look=pod)
    return _again_at(_tell(world, keys, find(pod, world.evidence) or finding), due)


def _initialize(world: World, keys: MasterKeys, pod: Pod) -> Plan:
    if world.initialization:
        what = f"The agent server cannot be used: {world.initialization.failure}. The pod ends; a new one follows."
        told = _tell(world, keys, Finding(Reason.POD_TERMINATING, what))
        return replace(told, delete=pod, unfit=world.initialization.failure)
    if world.class_ is None:
        return _without_class(world, keys)
    since = max(time for time in (pod.claimed, pod.ready and pod.ready.since, pod.created) if time)
    told = _tell(world, keys, Finding(Reason.STARTING, "The agent server is told its environment.", since))
    return replace(told, initialize=(pod, world.class_))


def _is_complete(world: World, pod: Pod) -> bool:
    """Whether all of a sandbox's objects are there: so this process knows, or so says a status about this pod.

    A claimed pod has its Secret from the beginning.
    """
    if pod.claimed and world.sandbox.spec.service == "None":
        return True
    return reports(world.sandbox.status, pod) or (world.made is not None and world.made.pod_uid == pod.uid)


def _create(world: World, keys: MasterKeys) -> Plan:
    sandbox, class_ = world.sandbox, world.class_
    if world.pod and world.pod.claimed:
        return Plan(creates=(Create(SERVICES, build_service(sandbox, world.pod.port(AGENT))),))
    if class_ is None:
        return _without_class(world, keys)
    if world.pod is None and (why := refused(sandbox.spec, class_)):
        return _tell(_without_pod(world, keys), keys, Finding(Reason.POD_REFUSED, why), _gone(world))
    if world.pod is None and world.held_back:
        held = Finding(world.held_back.reason, world.held_back.message)
        # The queue goes by the time that is told here.
        since = replace(_without_pod(world, keys), now=world.held_back.since)
        return _again_at(_tell(since, keys, held, _gone(world)), world.held_back.again)
    dropped = world.pod is None and is_runtime_class_dropped(sandbox, class_)
    event = _runtime_class_dropped(sandbox, class_, world.now) if dropped else None
    if world.pod is None and world.made is None and world.miss is None and is_first_start(sandbox):
        return Plan(claim=True, afterwards=(event,) if event else ())
    key_id, settled = _key_id(world, keys), _settled_key_id(sandbox, keys)
    key_ids = frozenset({settled}) if settled else keys.key_ids(sandbox.metadata.uid)
    creates = [Create(SECRETS, build_secret(sandbox, class_, keys, key_id), key_ids=key_ids)]
    if class_.spec.workspace.persistent:
        creates.append(Create(VOLUME_CLAIMS, build_volume_claim(sandbox, class_)))
    if sandbox.spec.service == "Headless" and world.service is None:
        creates.append(Create(SERVICES, build_service(sandbox)))
    lost: KubeObject | None = None
    if world.pod is None:
        foreign = "" if key_id in keys.key_ids(sandbox.metadata.uid) else key_id
        # A kubelet keeps what it has read of a Secret that is then replaced.
        creates.append(Create(PODS, build_pod(sandbox, class_, foreign), event, waits=bool(settled)))
        lost = vanishing_event(sandbox, class_, world.now)
    return Plan(creates=tuple(creates), events=(lost,) if lost else ())


def _without_class(world: World, keys: MasterKeys) -> Plan:
    name = world.sandbox.spec.class_name
    # The class of a new sandbox may be just as new, and on its way through another watch.
    since = times.parse(world.sandbox.metadata.creation_timestamp)
    missing = Finding(Reason.SANDBOX_CLASS_NOT_FOUND, f"There is no SandboxClass {name} in this namespace.", since)
    told = _tell(_without_pod(world, keys), keys, missing, _gone(world))
    # The status will not speak of the pod any more.
    lost = vanishing_event(world.sandbox, None, world.now) if told.status and world.pod is None else None
    return replace(told, events=(*told.events, lost)) if lost else told


def _without_pod(world: World, keys: MasterKeys) -> World:
    """The same world without a pod, in which the sandbox has its key all the same.

    A client must be told one when this lasts; a status without it would have to be written once more for that.
    """
    return replace(world, pod=None, made=world.made or Made(_key_id(world, keys)))


def _runtime_class_dropped(sandbox: Sandbox, class_: SandboxClass, now: datetime) -> KubeObject:
    note = (
        f"Runtime class {sandbox.spec.runtime_class_name} is not listed in runtimeClasses of SandboxClass "
        f"{sandbox.spec.class_name}: the pod runs with {runtime_class(sandbox, class_) or "the cluster's default"}."
    )
    return build_event(
        sandbox, now, type_="Warning", reason=EventReason.RUNTIME_CLASS_DROPPED, action="CreatePod", note=note
    )


def _key_id(world: World, keys: MasterKeys) -> str:
    """The sandbox's key; a new one for a new sandbox, or when the master key of the old one is gone."""
    return _known_key_id(world, keys) or keys.key_id(world.sandbox.metadata.uid)


def _known_key_id(world: World, keys: MasterKeys) -> str:
    """The key that was told, or that is in the pod or its Secret; "" when none of them is known."""
    held = (world.pod.key_id if world.pod else "", world.made.key_id if world.made else "")
    return _settled_key_id(world.sandbox, keys) or next((known for known in held if keys.knows(known)), "")


def _settled_key_id(sandbox: Sandbox, keys: MasterKeys) -> str:
    told = sandbox.status.key_id
    return told if keys.knows(told) else ""


def _secrets(world: World, keys: MasterKeys) -> tuple[str, ...]:
    """What no message may hold: nothing to look for as long as all words are the operator's own."""
    if not (world.refusal or world.evidence or world.initialization or (world.pod and has_foreign_text(world.pod))):
        return ()
    key_id = _key_id(world, keys)
    return keys.session_key(key_id), keys.secret_key(key_id)


def _gone(world: World) -> Loss | None:
    """The loss of the pod that the status speaks of, if it is not there and nobody was to end it."""
    sandbox, pod = world.sandbox, world.pod
    if (pod and reports(sandbox.status, pod)) or not has_vanished(sandbox):
        return None
    return vanished_pod(sandbox, world.class_, world.now)


def _tell(world: World, keys: MasterKeys, finding: Finding, loss: Loss | None = None) -> Plan:
    """The plan that writes the finding, and a loss, into the status, now or when the finding has lasted.

    Of a world that shows the pod there is, that of an earlier one is found here.
    """
    sandbox, pod = world.sandbox, world.pod
    finding = replace(finding, message=redacted(_with_history(world, finding), _secrets(world, keys)))
    if finding.passing_since:
        due = finding.passing_since + patience(world.untold)
        if world.now < due and not _contradicts(sandbox, finding):
            return Plan(untold=True, requeue_at=due)
    written = _known_key_id(world, keys) or sandbox.status.key_id
    miss = str(world.miss) if world.miss and world.miss.reason is not MissReason.NO_POOL else ""
    status = next_status(sandbox, pod, finding, written, world.now, miss)
    status = with_loss(status, loss or (_gone(world) if pod else None))
    status = with_loss(status, lost_volume(sandbox, world.made and world.made.volume_made, world.now))
    # What is told just now may be what a limit counts from.
    is_ending = finding.reason is Reason.TERMINATING
    limit = None if is_ending else nearest_limit(sandbox.model_copy(update={"status": status}), world.class_, pod)
    expiring = announcement(sandbox, limit, world.now)
    events = expiring_events(sandbox, limit, expiring, world.now)
    return Plan(events=events, status=patch(sandbox.status, with_expiring(status, expiring)) or None)


def _again_at(steps: Plan, *due: datetime | None) -> Plan:
    """The same steps, with another look at the first of these times."""
    first = min((time for time in (steps.requeue_at, *due) if time), default=None)
    return steps if first == steps.requeue_at else replace(steps, requeue_at=first)


def _without_keys(world: World, keys: MasterKeys) -> World:
    """The same world, in which no text holds a key; texts are cut later on, and a part of a key is not known."""
    secrets = _secrets(world, keys)
    if not secrets:
        return world
    pod = world.pod and redacted_pod(world.pod, secrets)
    return replace(world, pod=pod, evidence=redacted_evidence(world.evidence, secrets))


def _with_history(world: World, finding: Finding) -> str:
    status, pod = world.sandbox.status, world.pod
    if finding.passing_since is None or pod is None:
        return finding.message
    condition = status.condition(READY)
    if reports(status, pod):
        # A passing state is told once: its details are not worth further writes.
        return said(condition) if condition and condition.reason == finding.reason else finding.message
    if status.pod_name and finding.reason in {Reason.PENDING, Reason.STARTING}:
        return f"The earlier pod is gone, this one replaces it. {finding.message}"
    return finding.message


def _contradicts(sandbox: Sandbox, finding: Finding) -> bool:
    """Whether the status says that the sandbox is ready, and nobody knows better.

    Who has set `suspend` knows; all others must learn at once that the address in the status does not answer.
    """
    condition = sandbox.status.condition(READY)
    return condition is not None and condition.status == "True" and finding.reason is not Reason.SUSPENDING
