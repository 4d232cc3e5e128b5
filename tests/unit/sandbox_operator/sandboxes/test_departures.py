"""What is said of a pod that goes, has ended or was restarted."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from sandbox_common.reasons import Reason
from sandbox_operator.reporting.findings import OVERDUE, ending, finished, lost_node, restart_reason
from sandbox_operator.sandboxes.replacement import deletion_event
from sandbox_operator.watching.pods import Pod
from unit.sandbox_operator.samples import (
    LATER,
    NOW,
    SOON,
    class_,
    condition,
    container,
    on_node,
    pod,
    ready,
    run,
    runs,
    sandbox,
    status,
    waits,
)

DUE = NOW + timedelta(seconds=30)
TOO_LATE = DUE + OVERDUE
EVICTING = condition(True, "EvictionByEvictionAPI", "Eviction API: evicting")
TAINTED = condition(True, "DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint")
SILENT = on_node(container(waiting_reason="", running_since=NOW, ready=True), ready=condition(False, since=LATER))
FOLLOWS = "The pod ends; a new one follows."
OVERDUE_WORDS = "Node node-1 does not report: the pod should have ended at 2026-11-23T12:00:30Z."


def deleted(seen: Pod) -> Pod:
    return replace(seen, deletion_requested=NOW, deletion_due=DUE)


ENDINGS: dict[str, tuple[Pod, datetime, Reason, str]] = {
    "by hand": (ready(), SOON, Reason.POD_TERMINATING, FOLLOWS),
    "evicted": (
        ready(disruption=EVICTING),
        SOON,
        Reason.EVICTED,
        f"EvictionByEvictionAPI: Eviction API: evicting. {FOLLOWS}",
    ),
    "pre-empted": (
        ready(disruption=condition(True, "PreemptionByScheduler", "default-scheduler: preempting.")),
        SOON,
        Reason.EVICTED,
        f"PreemptionByScheduler: default-scheduler: preempting. {FOLLOWS}",
    ),
    "by hand, after an eviction that was called off": (
        ready(disruption=replace(EVICTING, status=False)),
        SOON,
        Reason.POD_TERMINATING,
        FOLLOWS,
    ),
    "on a silent node": (SILENT, SOON, Reason.NODE_LOST, "Node node-1 does not report."),
    "evicted from a silent node": (
        replace(SILENT, disruption=TAINTED),
        SOON,
        Reason.NODE_LOST,
        "Node node-1 does not report.",
    ),
    "while it boots, still in time": (runs(), TOO_LATE - timedelta(seconds=1), Reason.POD_TERMINATING, FOLLOWS),
    "while it boots, and does not end": (runs(), TOO_LATE, Reason.NODE_LOST, OVERDUE_WORDS),
    "evicted while it boots, and does not end": (
        replace(runs(), disruption=TAINTED),
        TOO_LATE,
        Reason.NODE_LOST,
        OVERDUE_WORDS,
    ),
    "without a node": (pod(), TOO_LATE, Reason.POD_TERMINATING, FOLLOWS),
}


@pytest.mark.parametrize("case", ENDINGS)
def test_a_pod_that_somebody_has_deleted(case: str) -> None:
    seen, now, reason, message = ENDINGS[case]
    finding = ending(deleted(seen), now)
    assert (finding.reason, finding.message) == (reason, message)
    assert finding.passing_since == (NOW if reason is Reason.POD_TERMINATING else None)


@pytest.mark.parametrize("seen", [ready(), runs(), pod(), waits("ErrImagePull"), deleted(ready())])
def test_the_node_of_other_pods_is_not_lost(seen: Pod) -> None:
    assert lost_node(seen, LATER) is None


def test_a_pod_whose_containers_have_ended_is_no_matter_of_its_node() -> None:
    assert lost_node(replace(deleted(runs()), phase="Failed"), TOO_LATE) is None


LOW = "The node was low on resource: memory."
FINISHED: dict[str, tuple[Pod, Reason, str]] = {
    "evicted by the kubelet": (
        pod(phase="Failed", reason="Evicted", message=LOW, disruption=condition(True, "TerminationByKubelet", LOW)),
        Reason.EVICTED,
        f"Evicted: {LOW} It is replaced.",
    ),
    "its node was deleted": (
        pod(phase="Failed", disruption=condition(True, "DeletionByPodGC", "PodGC: node no longer exists")),
        Reason.EVICTED,
        "DeletionByPodGC: PodGC: node no longer exists. It is replaced.",
    ),
    "rejected by its node": (
        pod(phase="Failed", reason="OutOfcpu", message="Node didn't have enough resource: cpu"),
        Reason.POD_FAILED,
        "OutOfcpu: Node didn't have enough resource: cpu. It is replaced.",
    ),
    "without a word": (pod(phase="Succeeded"), Reason.POD_FAILED, "Succeeded. It is replaced."),
}


@pytest.mark.parametrize("case", FINISHED)
def test_a_pod_that_has_ended(case: str) -> None:
    seen, reason, message = FINISHED[case]
    finding = finished(seen)
    assert (finding.reason, finding.message, finding.passing_since) == (reason, message, None)


RESTARTS: dict[str, tuple[Pod, str]] = {
    "never": (ready(), ""),
    "no container yet": (pod(), ""),
    "ended and not yet started again": (on_node(container(waiting_reason="", last_run=run(1))), ""),
    "forgotten by the kubelet": (runs(restarts=2), ""),
    "out of memory": (
        runs(restarts=1, last_run=run(137, "OOMKilled")),
        "The agent server ran out of memory (OOMKilled, exit code 137).",
    ),
    "out of memory, and ready again": (
        replace(SILENT, ready=condition(True), container=container(ready=True, restarts=1, last_run=run(139))),
        "The agent server ended with exit code 139 (SIGSEGV).",
    ),
}


@pytest.mark.parametrize("case", RESTARTS)
def test_why_a_container_was_restarted(case: str) -> None:
    seen, reason = RESTARTS[case]
    assert restart_reason(seen) == reason


def test_the_reason_of_a_restart_fits_into_its_field() -> None:
    long = restart_reason(runs(restarts=1, last_run=run(137, "OOMKilled", message="word " * 1000)))
    assert long.startswith("The agent server ran out of memory (OOMKilled, exit code 137): …")
    assert len(long) <= 1024


@pytest.mark.parametrize(
    ("seen", "who"),
    [
        (ready(disruption=EVICTING), " EvictionByEvictionAPI: Eviction API: evicting."),
        (ready(disruption=replace(EVICTING, status=False)), ""),
        (ready(), ""),
    ],
)
def test_the_event_about_a_deleted_pod_says_who_did_it_if_it_is_known(seen: Pod, who: str) -> None:
    event = deletion_event(sandbox(status=status(Reason.READY)), class_(), deleted(seen), LATER)
    told = f"Pod {seen.name} was deleted, but not by the operator.{who} A new one follows. The workspace was not kept, "
    assert event["note"].startswith(told)
