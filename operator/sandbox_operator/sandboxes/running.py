"""A sandbox that should run: get a pod and its objects for it, and report the pod's state. Pure."""

from dataclasses import replace
from datetime import datetime, timedelta

from sandbox_common import times
from sandbox_common.command import AGENT
from sandbox_common.kube import KubeObject
from sandbox_common.kube.resources import PODS, SECRETS, SERVICES, VOLUME_CLAIMS
from sandbox_common.pulls import late_at
from sandbox_common.reasons import Reason
from sandbox_crds.models import Sandbox, SandboxClass
from sandbox_operator.builders.event import EventReason, build_event
from sandbox_operator.builders.pod import build_pod, is_runtime_class_dropped, runtime_class
from sandbox_operator.builders.refusals import refused
from sandbox_operator.builders.secret import build_secret
from sandbox_operator.builders.service import build_service
from sandbox_operator.builders.volume import build_volume_claim
from sandbox_operator.pools.claim_patch import is_first_start
from sandbox_operator.pools.deferred import Initialization, needs_init
from sandbox_operator.reporting.conditions import READY
from sandbox_operator.reporting.finality import IMAGE_TROUBLES, PASSING_PULLS
from sandbox_operator.reporting.findings import Finding, examine, is_without_cause, pulling
from sandbox_operator.reporting.pod_events import find, is_needed
from sandbox_operator.reporting.status import reports
from sandbox_operator.sandboxes.replacement import vanishing_event
from sandbox_operator.sandboxes.situation import Situation
from sandbox_operator.sandboxes.world import Create, Plan, World
from sandbox_operator.watching.pods import Pod
from sandbox_operator.watching.pulls import PullUnderWay

SILENCE = timedelta(seconds=5)
"""How long a pod must wait without a known cause before the Events about it are read."""

SIZE_PATIENCE = timedelta(seconds=3)
"""How much longer a pull lasts before it is reported while the size of its image is being asked for."""

LOOK_INTERVAL = timedelta(seconds=5)
"""Between two reads of the Events about one pod."""

INIT_INTERVAL = timedelta(seconds=10)
"""Between two attempts to initialize the agent server of a used pod."""


def is_complete(world: World, pod: Pod) -> bool:
    """Whether all objects of a sandbox exist, as far as this process or the status's report of this pod shows.

    A claimed pod has its Secret from the beginning. The status lacks the key if the pod was not known to be complete.
    """
    if pod.claimed and world.sandbox.spec.service == "None":
        return True
    status = world.sandbox.status
    is_told = reports(status, pod) and bool(status.key_id)
    return is_told or (world.made is not None and world.made.pod_uid == pod.uid)


def start(situation: Situation) -> Plan:
    """Claim a warm pod or make the objects, unless the class, a limit or a rule of the cluster forbids it."""
    world = situation.world
    sandbox, class_, pod = world.sandbox, world.class_, world.pod
    if pod and pod.claimed:
        return Plan(creates=(Create(SERVICES, build_service(sandbox, pod.port(AGENT))),))
    if class_ is None:
        return without_class(situation)
    if pod:
        return Plan(creates=_objects(situation, class_))
    if why := refused(sandbox.spec, class_):
        return situation.report_without_pod(Finding(Reason.POD_REFUSED, why))
    if held := world.held_back:
        # The order of the queue follows from the time that is reported here.
        waits = situation.report_without_pod(Finding(held.reason, held.message), held.since)
        return waits.again_at(held.again)
    event = _runtime_class_dropped(sandbox, class_, world.now)
    if world.made is None and world.miss is None and is_first_start(sandbox):
        return Plan(claim=True, afterwards=(event,) if event else ())
    lost = vanishing_event(sandbox, class_, world.now)
    return Plan(creates=_objects(situation, class_, event), events=(lost,) if lost else ())


def without_class(situation: Situation) -> Plan:
    """Report that the class does not exist. The class of a new sandbox may be just as new, and not seen yet."""
    world, sandbox = situation.world, situation.world.sandbox
    name, since = sandbox.spec.class_name, times.parse(sandbox.metadata.creation_timestamp)
    missing = Finding(Reason.SANDBOX_CLASS_NOT_FOUND, f"There is no SandboxClass {name} in this namespace.", since)
    steps = situation.report_without_pod(missing)
    # The status will not speak of the pod any longer.
    lost = vanishing_event(sandbox, None, world.now) if steps.status and world.pod is None else None
    return replace(steps, events=(*steps.events, lost)) if lost else steps


def follow(situation: Situation, pod: Pod) -> Plan:
    """Report what the pod does, once its agent server belongs to the sandbox."""
    world = situation.world
    if _lags(world, pod):
        return Plan()
    if needs_init(world.sandbox, pod) and world.initialization != Initialization():
        return _initialize(situation, pod)
    finding = _cause(situation, pod)
    if world.pull and finding.reason is Reason.STARTING:
        return _pulls(situation, pod, world.pull)
    if world.pull and finding.reason in PASSING_PULLS:
        return _pulls_again(situation, pod, world.pull, finding)
    if not is_needed(pod):
        return situation.report(finding)
    due = (world.looked + LOOK_INTERVAL) if world.looked else pod.created + SILENCE
    if world.now >= due:
        return Plan(look=pod)
    return situation.report(find(pod, world.pod_events) or finding).again_at(due)


def _lags(world: World, pod: Pod) -> bool:
    """Whether the cached pod is older than what has been reported of it, perhaps by the previous leader."""
    status = world.sandbox.status
    reported = status.condition(READY) if reports(status, pod) else None
    return reported is not None and reported.reason == Reason.READY and not (pod.has_begun or pod.is_ready)


def _pulls(situation: Situation, pod: Pod, under_way: PullUnderWay) -> Plan:
    """Report which image the pod waits for, and once more if that takes longer than predicted."""
    world, status = situation.world, situation.world.sandbox.status
    finding = pulling(under_way, status.pull if reports(status, pod) else None, world.now)
    if under_way.is_asked and finding.passing_since:
        finding = replace(finding, passing_since=finding.passing_since + SIZE_PATIENCE)
    late = finding.pull and late_at(finding.pull)
    return situation.report(finding).again_at(late if late and late > world.now else None)


def _pulls_again(situation: Situation, pod: Pod, begun: PullUnderWay, failure: Finding) -> Plan:
    """Report a pull that follows one that failed, once Events show that it goes on.

    The kubelet reports how it ended only some seconds after its end.
    """
    world, due = situation.world, begun.since + SILENCE
    about = {seen.reason for seen in world.pod_events if seen.uid == pod.uid and seen.seen >= begun.since}
    if world.looked and world.looked >= due and about:
        return situation.report(failure) if "Failed" in about else _pulls(situation, pod, begun)
    due = max(due, world.looked + LOOK_INTERVAL) if world.looked else due
    return Plan(look=pod) if world.now >= due else situation.report(failure).again_at(due)


def _cause(situation: Situation, pod: Pod) -> Finding:
    status = situation.world.sandbox.status
    reported = status.condition(READY)
    if is_without_cause(pod) and reported and reports(status, pod) and reported.reason in IMAGE_TROUBLES:
        # The result of the last attempt, which the kubelet shows only until it begins to wait.
        return Finding(Reason(reported.reason), stands=True)
    return examine(pod)


def _initialize(situation: Situation, pod: Pod) -> Plan:
    world, status = situation.world, situation.world.sandbox.status
    result, class_ = world.initialization, world.class_
    # Its container has restarted, and its work would go with the pod.
    has_work = reports(status, pod) and bool(status.ready_time) and not pod.keeps_workspace
    if result and not has_work:
        what = f"The agent server cannot be used: {result.failure}. The pod ends; a new one follows."
        steps = situation.report(Finding(Reason.POD_TERMINATING, what))
        return replace(steps, delete=pod, unfit=result.failure)
    if class_ is None:
        return without_class(situation)
    if result:
        what = f"The restarted agent server cannot be used: {result.failure}. It is tried again."
        steps, again = situation.report(Finding(Reason.STARTING, what)), (result.ended or world.now) + INIT_INTERVAL
        return replace(steps, initialize=(pod, class_)) if world.now >= again else steps.again_at(again)
    since = max(time for time in (pod.claimed, pod.ready and pod.ready.since, pod.created) if time)
    steps = situation.report(Finding(Reason.STARTING, "The agent server gets its environment.", since))
    return replace(steps, initialize=(pod, class_))


def _objects(situation: Situation, class_: SandboxClass, event: KubeObject | None = None) -> tuple[Create, ...]:
    """All objects of a sandbox, and its pod if there is none. `event` is posted if the pod is created."""
    world, sandbox, keys = situation.world, situation.world.sandbox, situation.keys
    key_id, settled = situation.key_id, situation.settled_key_id
    key_ids = frozenset({settled}) if settled else keys.key_ids(sandbox.metadata.uid)
    creates = [Create(SECRETS, build_secret(sandbox, class_, keys, key_id), key_ids=key_ids)]
    if class_.spec.workspace.persistent:
        creates.append(Create(VOLUME_CLAIMS, build_volume_claim(sandbox, class_)))
    if sandbox.spec.service == "Headless" and world.service is None:
        creates.append(Create(SERVICES, build_service(sandbox)))
    if world.pod is None:
        foreign = "" if key_id in keys.key_ids(sandbox.metadata.uid) else key_id
        pod = build_pod(sandbox, class_, foreign, world.pull_secrets)
        # A kubelet caches a Secret that it has read, even if the Secret is then replaced. A claim that the status names
        # may be another sandbox's.
        waits = bool(settled or sandbox.status.volume_claim)
        creates.append(Create(PODS, pod, event, waits=waits))
    return tuple(creates)


def _runtime_class_dropped(sandbox: Sandbox, class_: SandboxClass, now: datetime) -> KubeObject | None:
    if not is_runtime_class_dropped(sandbox, class_):
        return None
    note = (
        f"Runtime class {sandbox.spec.runtime_class_name} is not listed in runtimeClasses of SandboxClass "
        f"{sandbox.spec.class_name}: the pod runs with {runtime_class(sandbox, class_) or "the cluster's default"}."
    )
    return build_event(
        sandbox, now, type_="Warning", reason=EventReason.RUNTIME_CLASS_DROPPED, action="CreatePod", note=note
    )
