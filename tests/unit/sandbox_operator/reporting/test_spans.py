"""Spans of a pod's steps."""

from dataclasses import replace
from datetime import timedelta

import pytest

from sandbox_operator.reporting.spans import span_of_pod
from sandbox_operator.watching.pods import Pod
from sandbox_operator.watching.pulls import FinishedPull
from unit.sandbox_operator.samples import IMAGE, NOW, condition, container, on_node, pod


def after(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)


RUNNING = container(waiting_reason="", running_since=NOW + after(9), ready=True)
READY = on_node(RUNNING, scheduled=condition(True, since=NOW + after(1)), ready=condition(True, since=NOW + after(15)))
PULL = FinishedPull(IMAGE, NOW + after(2), NOW + after(8))


def steps(pod: Pod, *pulls: FinishedPull) -> list[tuple[str, float, float]]:
    """Names of the steps, and their seconds since the pod was made."""
    span = span_of_pod(pod, pulls)
    assert span
    return [(step.name, (step.start - NOW).total_seconds(), (step.end - NOW).total_seconds()) for step in span.children]


def test_a_pod_has_its_steps() -> None:
    span = span_of_pod(READY, [PULL])
    assert span
    assert (span.name, span.start, span.end) == ("pod", NOW, NOW + after(15))
    assert span.attributes["k8s.pod.name"] == READY.name
    assert span.attributes["k8s.node.name"] == "node-1"
    assert steps(READY, PULL) == [
        ("schedule pod", 0, 1),
        ("pull image", 2, 8),
        ("start containers", 1, 9),
        ("boot agent server", 9, 15),
    ]


def test_a_step_whose_time_is_not_known_is_missing() -> None:
    assert steps(replace(READY, scheduled=None)) == [("boot agent server", 9, 15)]
    assert steps(replace(READY, container=None)) == [("schedule pod", 0, 1)]


def test_a_clock_that_was_set_back_makes_no_step_of_negative_length() -> None:
    early = replace(READY, container=replace(RUNNING, running_since=NOW - after(5)))
    assert steps(early) == [("schedule pod", 0, 1), ("boot agent server", -5, 15)]
    assert span_of_pod(replace(READY, ready=condition(True, since=NOW - after(1))), []) is None


@pytest.mark.parametrize("other", [pod(), replace(READY, ready=condition(False)), replace(READY, pool="a-pool")])
def test_other_pods_have_no_span(other: Pod) -> None:
    assert span_of_pod(other, []) is None
