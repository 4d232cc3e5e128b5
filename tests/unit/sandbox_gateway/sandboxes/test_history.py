"""The steps of lives, from what Kubernetes says of them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from sandbox_common.cluster_events import ClusterEvent
from sandbox_common.reasons import Reason
from sandbox_gateway.sandboxes.history import Moment, history, moments_of_pod
from unit.sandbox_gateway.support import sandbox, status

# Each sandbox of the tests was asked for at second 0.
MINUTE = "2026-01-02T03:04:{:02}Z"


def at(second: float) -> datetime:
    return datetime(2026, 1, 2, 3, 4, int(second), round(second % 1 * 1e6), tzinfo=UTC)


def event(reason: str, second: float, kind: str = "Pod", note: str = "") -> ClusterEvent:
    return ClusterEvent(reason=reason, note=note, kind=kind, uid="uid", seen=at(second))


def pod(**container: Any) -> dict[str, Any]:
    return {
        "spec": {"nodeName": "node-1"},
        "status": {
            "conditions": [
                {"type": "PodScheduled", "status": "True", "lastTransitionTime": MINUTE.format(2)},
                {"type": "Ready", "status": "False", "lastTransitionTime": None},
            ],
            "containerStatuses": [
                {"name": "injected", "state": {"running": {"startedAt": MINUTE.format(3)}}},
                {"name": "agent-server", **container},
            ],
        },
    }


def steps(found: Sequence[Moment]) -> list[tuple[str, float, str]]:
    return [(moment.step, (moment.time - at(0)).total_seconds(), moment.source) for moment in found]


RUNNING = pod(state={"running": {"startedAt": MINUTE.format(6)}})
EVENTS = [event("Scheduled", 2), event("Pulling", 3), event("Pulled", 5), event("Started", 6), event("Unhealthy", 7)]
COLD = status(
    Reason.READY, since=at(9), launch="Cold", startTime=MINUTE.format(1), readyTime=MINUTE.format(9),
    firstReadyTime=MINUTE.format(9),
)  # fmt: skip


@pytest.mark.parametrize(
    ("state", "its_pod", "events", "expected"),
    [
        ({}, None, [], [("asked", 0, "sandbox")]),
        (
            status(Reason.QUEUED, since=at(1)),
            None,
            [],
            [("asked", 0, "sandbox"), ("queued", 1, "condition")],
        ),
        (
            COLD,
            RUNNING,
            EVENTS,
            [
                ("asked", 0, "sandbox"),
                ("scheduled", 2, "pod"),
                ("pulling", 3, "event"),
                ("booting", 6, "pod"),
                ("ready", 9, "sandbox"),
            ],
        ),
        # Without its pod, the Events say the same; after an hour, only the Sandbox is left.
        (
            COLD,
            None,
            EVENTS,
            [
                ("asked", 0, "sandbox"),
                ("scheduled", 2, "event"),
                ("pulling", 3, "event"),
                ("booting", 6, "event"),
                ("ready", 9, "sandbox"),
            ],
        ),
        (COLD, None, [], [("asked", 0, "sandbox"), ("ready", 9, "sandbox")]),
        # A pod that waited in a pool before.
        (
            status(
                Reason.READY, since=at(1), launch="Warm", pool="p", readyTime=MINUTE.format(1),
                firstReadyTime=MINUTE.format(1),
            ),
            {
                "spec": {"nodeName": "n"},
                "status": {
                    "containerStatuses": [
                        {"name": "agent-server", "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}
                    ]
                },
            },
            [],
            [("asked", 0, "sandbox"), ("ready", 1, "sandbox")],
        ),
        # Suspended as idle: the Event of the operator and the condition mean the same.
        (
            status(Reason.IDLE, since=at(31.5), podName="", firstReadyTime=MINUTE.format(9)),
            None,
            [event("Killing", 30), event("SuspendedIdle", 30, "Sandbox")],
            [("asked", 0, "sandbox"), ("ready", 9, "sandbox"), ("ended", 30, "event"), ("idle", 31.5, "condition")],
        ),
        (
            status(
                Reason.READY, since=at(45), launch="Resume", startTime=MINUTE.format(40), readyTime=MINUTE.format(45),
                firstReadyTime=MINUTE.format(9),
            ),
            None,
            [event("SuspendedIdle", 30, "Sandbox"), event("Scheduled", 41)],
            [
                ("asked", 0, "sandbox"),
                ("ready", 9, "sandbox"),
                ("idle", 30, "event"),
                ("woken", 40, "sandbox"),
                ("scheduled", 41, "event"),
                ("ready", 45, "sandbox"),
            ],
        ),
        (
            status(
                Reason.CRASH_LOOP_BACK_OFF, since=at(20), launch="Cold",
                lastLoss={"time": MINUTE.format(15), "reason": "Evicted"},
            ),
            pod(
                state={"waiting": {"reason": "CrashLoopBackOff"}},
                lastState={
                    "terminated": {
                        "startedAt": MINUTE.format(17),
                        "finishedAt": MINUTE.format(19),
                        "exitCode": 137,
                        "reason": "OOMKilled",
                    }
                },
            ),
            [],
            [
                ("asked", 0, "sandbox"),
                ("scheduled", 2, "pod"),
                ("lost", 15, "sandbox"),
                ("booting", 17, "pod"),
                ("ended", 19, "pod"),
                ("failed", 20, "condition"),
            ],
        ),
        # It starts, with nothing wrong: no step of its own.
        (status(Reason.UNSCHEDULABLE, since=at(2)), None, [], [("asked", 0, "sandbox")]),
        (
            status(Reason.STARTING, since=at(2), pull={"startTime": MINUTE.format(4), "image": "agent:1"}),
            None,
            [event("Pulling", 3)],
            [("asked", 0, "sandbox"), ("pulling", 4, "sandbox")],
        ),
    ],
)  # fmt: skip
def test_steps(
    state: dict[str, Any],
    its_pod: dict[str, Any] | None,
    events: list[ClusterEvent],
    expected: list[tuple[str, float, str]],
) -> None:
    moments = [] if its_pod is None else moments_of_pod(its_pod)
    assert steps(history(sandbox(status=state), moments, events)) == expected
    assert steps(history(sandbox(status=state), reversed(moments), reversed(events))) == expected


def test_what_a_step_says() -> None:
    ended = {"terminated": {"finishedAt": MINUTE.format(9), "exitCode": 137, "reason": "OOMKilled"}}
    found = history(sandbox(status=COLD), moments_of_pod(pod(state=ended)), [event("Pulling", 3, note="Pulling agent")])
    details = {moment.step: moment.detail for moment in found}
    assert (details["asked"], details["scheduled"]) == ("agent:1", "on node node-1")
    assert (details["pulling"], details["ended"]) == ("Pulling agent", "exit code 137, OOMKilled")


def test_there_are_not_too_many() -> None:
    many = [event("Started", second % 60 + second / 10_000) for second in range(0, 6000, 7)]
    assert len(history(sandbox(), [], many)) <= 200


BROKEN: list[dict[str, Any]] = [
    {"status": {"conditions": [{}]}},
    {"status": {"containerStatuses": [5]}},
    pod(state=5),
]


@pytest.mark.parametrize("broken", BROKEN)
def test_a_malformed_pod_is_a_value_error(broken: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="not a Pod"):
        moments_of_pod(broken)
