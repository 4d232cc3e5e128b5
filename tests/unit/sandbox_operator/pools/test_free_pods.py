"""What can be expected of a free pod."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from sandbox_common.cluster_events import ClusterEvent
from sandbox_common.reasons import Reason
from sandbox_operator.pools.free_pods import LONGEST_START, VOLUME_IS_MADE, PodState, sort_free_pods
from sandbox_operator.watching.pods import Pod, Run
from unit.sandbox_operator.pools.samples import OLD_TEMPLATE, TEMPLATE, failing, free, ready, unbound, waiting
from unit.sandbox_operator.samples import KEYS, NOW, SOON, condition, container

LATE = NOW + LONGEST_START

CASES: dict[str, tuple[Pod, PodState, Reason | None]] = {
    "just made": (free("a"), PodState.STARTING, None),
    "on its way": (
        free("a", node="node-1", ready=condition(False), container=container()),
        PodState.STARTING,
        None,
    ),
    "ready": (ready("a"), PodState.READY, None),
    "no image": (failing("a"), PodState.FAILING, Reason.IMAGE_PULL_BACK_OFF),
    "no Secret": (
        failing("a", container=container(waiting_reason="CreateContainerConfigError", waiting_message="no secret")),
        PodState.FAILING,
        Reason.CREATE_CONTAINER_ERROR,
    ),
    "no room": (waiting("a"), PodState.WAITING, Reason.UNSCHEDULABLE),
    "evicted": (free("a", phase="Failed", reason="Evicted", message="low on memory"), PodState.FAILING, Reason.EVICTED),
    "rejected": (free("a", phase="Failed", reason="OutOfcpu"), PodState.FAILING, Reason.POD_FAILED),
    "its node is lost": (
        ready("a", ready=condition(False, "NodeStatusUnknown")),
        PodState.FAILING,
        Reason.NODE_LOST,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_states(name: str) -> None:
    pod, state, reason = CASES[name]
    free_pods = sort_free_pods([pod], TEMPLATE, KEYS, SOON)
    assert free_pods.current[state] == [pod]
    assert free_pods.count() == free_pods.current.count() == 1
    assert [finding.reason for finding in free_pods.findings.values()] == ([reason] if reason else [])


NOT_MADE = NOW + VOLUME_IS_MADE
VOLUME: dict[str, Any] = {"volume_claim": "warm-a"}


def about(reason: str, note: str = "", claim: str = "warm-a", seen: datetime = NOW) -> ClusterEvent:
    return ClusterEvent(reason, note, "PersistentVolumeClaim", "uid", seen, name=claim)


NO_CLASS = about("ProvisioningFailed", 'storageclass.storage.k8s.io "gone" not found')
VOLUMES: dict[str, tuple[Pod, list[ClusterEvent], PodState, Reason | None]] = {
    "the scheduler says so": (unbound("a"), [], PodState.UNBOUND, Reason.VOLUME_NOT_BOUND),
    "nobody says why it has no node": (free("a", **VOLUME), [], PodState.STARTING, None),
    "an Event says so": (free("a", **VOLUME), [about("FailedBinding")], PodState.UNBOUND, Reason.VOLUME_NOT_BOUND),
    "an Event says why": (unbound("a"), [NO_CLASS], PodState.UNBOUND, Reason.STORAGE_CLASS_NOT_FOUND),
    "an Event about another volume": (
        free("a", **VOLUME),
        [replace(NO_CLASS, name="warm-b")],
        PodState.STARTING,
        None,
    ),
    "it is being made by now": (
        free("a", **VOLUME),
        [NO_CLASS, about("Provisioning", seen=SOON)],
        PodState.STARTING,
        None,
    ),
    "there is no room": (waiting("a", **VOLUME), [NO_CLASS], PodState.WAITING, Reason.UNSCHEDULABLE),
    "it has a node": (
        free("a", node="node-1", ready=condition(False), container=container(), **VOLUME),
        [NO_CLASS],
        PodState.STARTING,
        None,
    ),
    "it has none": (free("a"), [NO_CLASS], PodState.STARTING, None),
}


@pytest.mark.parametrize("name", VOLUMES)
def test_pods_that_wait_for_a_volume(name: str) -> None:
    pod, events, state, reason = VOLUMES[name]
    by_claim = {claim: [event for event in events if event.name == claim] for claim in ("warm-a", "warm-b")}
    free_pods = sort_free_pods([pod], TEMPLATE, KEYS, NOT_MADE, volume_events=by_claim)
    assert free_pods.current[state] == [pod]
    assert [finding.reason for finding in free_pods.findings.values()] == ([reason] if reason else [])


def test_a_volume_may_take_some_time() -> None:
    early = NOT_MADE - timedelta(seconds=1)
    free_pods = sort_free_pods([unbound("a")], TEMPLATE, KEYS, early, volume_events={"warm-a": [NO_CLASS]})
    assert free_pods.current.count(PodState.STARTING) == 1


def test_a_pod_without_its_volume_never_fails() -> None:
    assert sort_free_pods([unbound("a")], TEMPLATE, KEYS, LATE).current.count(PodState.UNBOUND) == 1


def test_a_pod_that_starts_for_ever_fails_in_the_end() -> None:
    pod = free("a", node="node-1", ready=condition(False), container=container())
    assert sort_free_pods([pod], TEMPLATE, KEYS, LATE - timedelta(seconds=1)).current.count(PodState.STARTING) == 1
    free_pods = sort_free_pods([pod], TEMPLATE, KEYS, LATE)
    assert free_pods.current[PodState.FAILING] == [pod]
    assert free_pods.findings[pod.uid].reason is Reason.STARTING
    assert "not ready after 10 minutes" in free_pods.findings[pod.uid].message
    # A ready one may be as old as it likes.
    assert sort_free_pods([ready("b")], TEMPLATE, KEYS, LATE).current.count(PodState.READY) == 1


def test_what_somebody_deleted_does_not_count() -> None:
    assert sort_free_pods([ready("a", deletion_requested=NOW)], TEMPLATE, KEYS, SOON).count() == 0


def test_pods_of_another_template_or_of_a_lost_master_key_are_outdated() -> None:
    pods = [ready("a", template=OLD_TEMPLATE), ready("b", key_id="v9-" + "a" * 26), ready("c")]
    free_pods = sort_free_pods(pods, TEMPLATE, KEYS, SOON)
    assert free_pods.outdated[PodState.READY] == pods[:2]
    assert free_pods.current[PodState.READY] == pods[2:]


def test_ready_pods_on_nodes_that_take_no_more_are_leaving() -> None:
    pods = [ready("a"), ready("b", template=OLD_TEMPLATE), failing("c"), waiting("d"), ready("e", node="node-2")]
    free_pods = sort_free_pods(pods, TEMPLATE, KEYS, SOON, lambda pod: "is cordoned" if pod.node == "node-1" else "")
    assert (free_pods.leaving, free_pods.unfit) == (pods[:1], "Node node-1 is cordoned")
    assert free_pods.outdated[PodState.READY] == pods[1:2]
    assert (free_pods.current[PodState.FAILING], free_pods.current[PodState.READY]) == (pods[2:3], pods[4:])
    assert (free_pods.count(), free_pods.count(PodState.READY), free_pods.count(PodState.FAILING)) == (5, 3, 1)


def test_no_finding_tells_a_key() -> None:
    key = KEYS.session_key(KEYS.key_id("warm-a"))
    secret = KEYS.secret_key(KEYS.key_id("warm-a"))
    run = Run(exit_code=1, reason="Error", message=f"{key} {secret}", seconds=1.0)
    crashed = container(waiting_reason="CrashLoopBackOff", restarts=3, last_run=run)
    pod = free("a", node="node-1", ready=condition(False), container=crashed)
    finding = sort_free_pods([pod], TEMPLATE, KEYS, SOON).findings[pod.uid]
    assert finding.reason is Reason.CRASH_LOOP_BACK_OFF
    assert key not in finding.message
    assert secret not in finding.message
