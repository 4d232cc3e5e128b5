"""What can be expected of a free pod."""

from datetime import timedelta

import pytest

from sandbox_common.reasons import Reason
from sandbox_operator.pools.census import LONGEST_START, State, take_census
from sandbox_operator.watching.pods import Pod, Run
from unit.sandbox_operator.pools.samples import OLD_TEMPLATE, TEMPLATE, failing, free, ready, waiting
from unit.sandbox_operator.samples import KEYS, NOW, SOON, condition, container

LATE = NOW + LONGEST_START

CASES: dict[str, tuple[Pod, State, Reason | None]] = {
    "just made": (free("a"), State.STARTING, None),
    "on its way": (
        free("a", node="node-1", ready=condition(False), container=container()),
        State.STARTING,
        None,
    ),
    "ready": (ready("a"), State.READY, None),
    "no image": (failing("a"), State.FAILING, Reason.IMAGE_PULL_BACK_OFF),
    "no Secret": (
        failing("a", container=container(waiting_reason="CreateContainerConfigError", waiting_message="no secret")),
        State.FAILING,
        Reason.CREATE_CONTAINER_ERROR,
    ),
    "no room": (waiting("a"), State.WAITING, Reason.UNSCHEDULABLE),
    "evicted": (free("a", phase="Failed", reason="Evicted", message="low on memory"), State.FAILING, Reason.EVICTED),
    "rejected": (free("a", phase="Failed", reason="OutOfcpu"), State.FAILING, Reason.POD_FAILED),
    "its node is lost": (
        ready("a", ready=condition(False, "NodeStatusUnknown")),
        State.FAILING,
        Reason.NODE_LOST,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_states(name: str) -> None:
    pod, state, reason = CASES[name]
    census = take_census([pod], TEMPLATE, KEYS, SOON)
    assert census.current[state] == [pod]
    assert census.count() == census.current.count() == 1
    assert [finding.reason for finding in census.findings.values()] == ([reason] if reason else [])


def test_a_pod_that_starts_for_ever_fails_in_the_end() -> None:
    pod = free("a", node="node-1", ready=condition(False), container=container())
    assert take_census([pod], TEMPLATE, KEYS, LATE - timedelta(seconds=1)).current.count(State.STARTING) == 1
    census = take_census([pod], TEMPLATE, KEYS, LATE)
    assert census.current[State.FAILING] == [pod]
    assert census.findings[pod.uid].reason is Reason.STARTING
    assert "not ready after 10 minutes" in census.findings[pod.uid].message
    # A ready one may be as old as it likes.
    assert take_census([ready("b")], TEMPLATE, KEYS, LATE).current.count(State.READY) == 1


def test_what_somebody_deleted_does_not_count() -> None:
    assert take_census([ready("a", deletion_requested=NOW)], TEMPLATE, KEYS, SOON).count() == 0


def test_pods_of_another_template_or_of_a_lost_master_key_are_outdated() -> None:
    pods = [ready("a", template=OLD_TEMPLATE), ready("b", key_id="v9-" + "a" * 26), ready("c")]
    census = take_census(pods, TEMPLATE, KEYS, SOON)
    assert census.outdated[State.READY] == pods[:2]
    assert census.current[State.READY] == pods[2:]


def test_ready_pods_on_nodes_that_take_no_more_are_leaving() -> None:
    pods = [ready("a"), ready("b", template=OLD_TEMPLATE), failing("c"), waiting("d"), ready("e", node="node-2")]
    census = take_census(pods, TEMPLATE, KEYS, SOON, lambda pod: "is cordoned" if pod.node == "node-1" else "")
    assert (census.leaving, census.unfit) == (pods[:1], "Node node-1 is cordoned")
    assert census.outdated[State.READY] == pods[1:2]
    assert (census.current[State.FAILING], census.current[State.READY]) == (pods[2:3], pods[4:])
    assert (census.count(), census.count(State.READY), census.count(State.FAILING)) == (5, 3, 1)


def test_no_finding_tells_a_key() -> None:
    key = KEYS.session_key(KEYS.key_id("warm-a"))
    secret = KEYS.secret_key(KEYS.key_id("warm-a"))
    run = Run(exit_code=1, reason="Error", message=f"{key} {secret}", seconds=1.0)
    crashed = container(waiting_reason="CrashLoopBackOff", restarts=3, last_run=run)
    pod = free("a", node="node-1", ready=condition(False), container=crashed)
    finding = take_census([pod], TEMPLATE, KEYS, SOON).findings[pod.uid]
    assert finding.reason is Reason.CRASH_LOOP_BACK_OFF
    assert key not in finding.message
    assert secret not in finding.message
