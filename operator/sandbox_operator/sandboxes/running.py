"""A sandbox that has its pod: initialize its agent server, find out what the pod waits for, and report it. Pure."""

from dataclasses import replace
from datetime import timedelta

from sandbox_common.reasons import Reason
from sandbox_operator.pools.deferred import Initialization, needs_init
from sandbox_operator.reporting.conditions import READY, said
from sandbox_operator.reporting.evidence import find, is_needed
from sandbox_operator.reporting.finality import IMAGE_TROUBLES
from sandbox_operator.reporting.findings import Finding, examine, is_without_cause
from sandbox_operator.reporting.status import reports
from sandbox_operator.sandboxes.situation import Situation
from sandbox_operator.sandboxes.starting import without_class
from sandbox_operator.sandboxes.world import Plan
from sandbox_operator.watching.pods import Pod

SILENCE = timedelta(seconds=5)
"""How long a pod waits without saying why before the Events about it are read."""

LOOK_INTERVAL = timedelta(seconds=5)
"""Between two reads of the Events about one pod."""


def follow(situation: Situation, pod: Pod) -> Plan:
    """Report what the pod does, once its agent server belongs to the sandbox."""
    world = situation.world
    if needs_init(world.sandbox, pod) and world.initialization != Initialization():
        return _initialize(situation, pod)
    finding = _cause(situation, pod)
    if not is_needed(pod):
        return situation.report(finding)
    due = (world.looked + LOOK_INTERVAL) if world.looked else pod.created + SILENCE
    if world.now >= due:
        return Plan(look=pod)
    return situation.report(find(pod, world.evidence) or finding).again_at(due)


def _cause(situation: Situation, pod: Pod) -> Finding:
    status = situation.world.sandbox.status
    reported = status.condition(READY)
    if is_without_cause(pod) and reported and reports(status, pod) and reported.reason in IMAGE_TROUBLES:
        # What the attempt before has come to, which the kubelet says only until it waits.
        return Finding(Reason(reported.reason), said(reported))
    return examine(pod)


def _initialize(situation: Situation, pod: Pod) -> Plan:
    result, class_ = situation.world.initialization, situation.world.class_
    if result:
        what = f"The agent server cannot be used: {result.failure}. The pod ends; a new one follows."
        steps = situation.report(Finding(Reason.POD_TERMINATING, what))
        return replace(steps, delete=pod, unfit=result.failure)
    if class_ is None:
        return without_class(situation)
    since = max(time for time in (pod.claimed, pod.ready and pod.ready.since, pod.created) if time)
    steps = situation.report(Finding(Reason.STARTING, "The agent server is told its environment.", since))
    return replace(steps, initialize=(pod, class_))
