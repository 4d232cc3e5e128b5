"""Pods that end: with their sandbox, for a suspension or a restart, or because of others. Pure."""

from dataclasses import replace
from datetime import datetime, timedelta

from sandbox_common.reasons import SUSPENSIONS, Reason
from sandbox_operator.reporting.conditions import READY
from sandbox_operator.reporting.findings import OVERDUE, Finding, abandoned_at, ending, finished, lost_node
from sandbox_operator.reporting.losses import lost_pod
from sandbox_operator.reporting.suspension import suspended_message, workspace_kept
from sandbox_operator.sandboxes.replacement import deletion_event, end_event, is_unasked
from sandbox_operator.sandboxes.situation import Situation
from sandbox_operator.sandboxes.world import Plan, Prepare
from sandbox_operator.watching.pods import Pod

SHORTEST_LIFE = timedelta(seconds=10)
"""Minimum age at which a finished pod is replaced. Otherwise a pod that its node rejects at once would be made again
immediately."""


def terminate(situation: Situation) -> Plan:
    """End the pod of a Sandbox that is being deleted. Finalizers of others may keep the Sandbox for any time."""
    waits = ", ".join(situation.world.sandbox.metadata.finalizers)
    message = f"The Sandbox is being deleted{f', and waits for its finalizers: {waits}' if waits else ''}."
    steps = situation.report(Finding(Reason.TERMINATING, message))
    return _end(situation, steps, situation.world.pod) if situation.world.pod else steps


def suspend(situation: Situation) -> Plan:
    """End the pod of a sandbox that is to be suspended, and then report the suspension."""
    world, sandbox, pod = situation.world, situation.world.sandbox, situation.world.pod
    kept = workspace_kept(sandbox, world.class_, pod)
    message = suspended_message(sandbox, kept)
    if pod is None:
        before, reason = sandbox.status.condition(READY), SUSPENSIONS[sandbox.spec.suspend_reason]
        stands = before is not None and before.reason == reason
        return situation.report(Finding(reason, message, stands=stands, workspace_kept=kept))
    lost = lost_node(pod, world.now)
    what = f"The pod cannot end. {lost.message.rstrip('.')}." if lost else "The pod ends."
    # A pod must have been reported once: it may have a volume, and its sandbox counts for its owner's limits.
    since = None if lost or not sandbox.status.launch else pod.deletion_requested or world.now
    suspending = Finding(Reason.SUSPENDING, f"{what} {message}", since)
    return _end(situation, situation.report(suspending), pod)


def restart(situation: Situation, pod: Pod) -> Plan:
    """End a pod that is to be replaced on request."""
    restarts = Finding(Reason.POD_TERMINATING, "Restarted on request: the pod ends; a new one follows.")
    return _end(situation, situation.report(restarts), pod)


def follow_deletion(situation: Situation, pod: Pod) -> Plan:
    """Wait for the end of a deleted pod, and report who deleted it if that was not the operator."""
    world, finding = situation.world, ending(pod, situation.world.now)
    # A silent node may come back. Otherwise its pod is reported as lost once it is gone.
    unasked = finding.reason is not Reason.NODE_LOST and is_unasked(world.sandbox, pod)
    loss = lost_pod(world.sandbox, world.class_, pod, world.now) if unasked else None
    steps = situation.report(finding, loss)
    if steps.status and unasked:
        event = deletion_event(world.sandbox, world.class_, pod, world.now)
        steps = replace(steps, events=(*steps.events, event))
    return _until_ended(steps, pod, world.now)


def replace_finished(situation: Situation, pod: Pod) -> Plan:
    """Report a pod whose containers have ended, and delete it."""
    world = situation.world
    loss = lost_pod(world.sandbox, world.class_, pod, world.now)
    steps = situation.report(finished(pod), loss)
    if steps.status and loss:
        steps = replace(steps, events=(*steps.events, end_event(world.sandbox, world.class_, pod, world.now)))
    due = pod.created + SHORTEST_LIFE
    return replace(steps, delete=pod) if world.now >= due else replace(steps, requeue_at=due)


def _end(situation: Situation, steps: Plan, pod: Pod) -> Plan:
    """The same steps, and delete the pod. If its agent server answers, it first saves its work."""
    if pod.deletion_requested:
        return _until_ended(steps, pod, situation.world.now)
    if pod.is_ready and situation.world.prepared != pod.uid:
        return replace(steps, prepare=Prepare(pod, situation.key_id))
    return replace(steps, delete=pod)


def _until_ended(steps: Plan, pod: Pod, now: datetime) -> Plan:
    """The same steps for a deleted pod, with another look when its node counts as lost.

    The pod is abandoned if waiting for its end is of no use.
    """
    abandoned = abandoned_at(pod)
    if abandoned and now >= abandoned:
        return replace(steps, abandon=pod)
    times = (pod.deletion_due and pod.deletion_due + OVERDUE, abandoned)
    return steps.again_at(*(time for time in times if time and time > now))
