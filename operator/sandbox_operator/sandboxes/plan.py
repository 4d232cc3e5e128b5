"""Plans the next steps for one sandbox from its state. Pure."""

from dataclasses import replace

from sandbox_common.keys import MasterKeys
from sandbox_operator.pools.claim_patch import brings_volume
from sandbox_operator.reporting.conditions import patch
from sandbox_operator.reporting.findings import Finding
from sandbox_operator.reporting.lifetime import (
    expired_event,
    expires_at,
    nearest_limit,
    next_step_at,
    start_deadline,
    start_timeout_event,
    start_timeout_note,
)
from sandbox_operator.reporting.status import is_restored, taken_over
from sandbox_operator.sandboxes.ending import follow_deletion, replace_finished, restart, suspend, terminate
from sandbox_operator.sandboxes.replacement import is_outdated
from sandbox_operator.sandboxes.running import follow, is_complete, start
from sandbox_operator.sandboxes.services import change
from sandbox_operator.sandboxes.situation import Situation
from sandbox_operator.sandboxes.world import Plan, World


def plan(world: World, keys: MasterKeys) -> Plan:
    """The next steps for one sandbox. Idempotent: after these steps, a new plan is empty."""
    situation = Situation(world, keys).redacted()
    world = situation.world
    if world.sandbox.metadata.deletion_timestamp:
        return replace(terminate(situation), surplus=world.surplus)
    if is_restored(world.sandbox):
        return _restore(situation)
    steps = _within_limits(situation)
    if world.surplus:
        steps = replace(steps, surplus=world.surplus)
    # The refusal may be about the Service itself, if it was to be made with the pod.
    if not (steps.claim or steps.take or steps.creates or world.refusal) and (
        served := change(world.sandbox, world.pod, world.service)
    ):
        steps = replace(steps, service=served)
    return steps


def _restore(situation: Situation) -> Plan:
    """Take over what was the earlier Sandbox's. All else follows once the status is of this one."""
    sandbox, refusal = situation.world.sandbox, situation.world.refusal
    if refusal:
        return situation.report_without_pod(Finding(refusal.reason, refusal.message))
    return Plan(restore=True, status=patch(sandbox.status, taken_over(sandbox)))


def _within_limits(situation: Situation) -> Plan:
    """End a sandbox, or its start, at a time limit. Before that, do what its phase requires, until a limit is due."""
    world, sandbox, class_ = situation.world, situation.world.sandbox, situation.world.class_
    limit = nearest_limit(sandbox, class_, world.pod)
    end = limit and expires_at(sandbox, limit)
    if limit and end and world.now >= end:
        return Plan(expire=limit.reason, afterwards=(expired_event(sandbox, limit, world.now),))
    deadline = start_deadline(sandbox, class_, world.pod)
    if deadline and world.now >= deadline:
        note = start_timeout_note(sandbox, class_)
        return Plan(suspend=note, afterwards=(start_timeout_event(sandbox, note, world.now),))
    return _phase(situation).again_at(limit and next_step_at(sandbox, limit, world.now), deadline)


def _phase(situation: Situation) -> Plan:
    """The steps for a sandbox within its time limits: the first phase that applies."""
    world, sandbox, pod = situation.world, situation.world.sandbox, situation.world.pod
    if pod and brings_volume(sandbox, pod) and world.taken != pod.uid:
        # Before the status names the pod: until then nobody uses the volume, and it may still go with the pod.
        return Plan(take=pod)
    if refusal := world.refusal:
        return situation.report_without_pod(Finding(refusal.reason, refusal.message))
    if sandbox.spec.suspend:
        return suspend(situation)
    if pod is None:
        return start(situation)
    if pod.deletion_requested:
        return follow_deletion(situation, pod)
    if is_outdated(sandbox, pod):
        return restart(situation, pod)
    if pod.is_finished:
        return replace_finished(situation, pod)
    return follow(situation, pod) if is_complete(world, pod) else start(situation)
