"""What a sandbox uses now: times from the API server's objects, requests from its pods."""

from datetime import timedelta

import pytest

from sandbox_common.reasons import Reason
from sandbox_common.times import rfc3339
from sandbox_common.usage import Span
from sandbox_crds.models import Sandbox, SandboxClass, SandboxStatus
from sandbox_operator.usage.observation import observed
from sandbox_operator.watching.pods import Pod
from unit.sandbox_operator.samples import NOW, POD_UID, UID, condition, podless, ready, status
from unit.sandbox_operator.samples import pod as unbound

SECOND = int(NOW.timestamp())
LATER = NOW + timedelta(seconds=100)
CLASS = SandboxClass.model_validate({"spec": {"egress": "None", "workspace": {"persistent": True, "size": "1Gi"}}})


def sandbox(status: SandboxStatus | None = None) -> Sandbox:
    return Sandbox.model_validate(
        {
            "metadata": {"name": "one", "uid": UID, "creationTimestamp": rfc3339(NOW)},
            "spec": {"image": "i", "className": "default"},
            "status": (status or SandboxStatus()).model_dump(by_alias=True),
        }
    )


def span_of(pod: Pod, status: SandboxStatus | None = None) -> Span | None:
    return observed(sandbox(status), [pod], CLASS, LATER).get(pod.uid)


def test_a_pod_counts_with_its_requests_from_its_binding() -> None:
    bound = ready(scheduled=condition(True, since=NOW + timedelta(seconds=7)), requests=(250, 512))
    span = span_of(bound)
    assert span
    assert (span.since, span.until, span.class_name) == (SECOND + 7, None, "default")
    assert (span.rate.running_seconds, span.rate.cpu_millicore_seconds, span.rate.memory_mebibyte_seconds) == (
        1,
        250,
        512,
    )
    assert span.start.cold_starts == 1


def test_a_pod_without_a_node_uses_nothing() -> None:
    assert span_of(unbound(requests=(250, 512))) is None
    assert span_of(unbound(scheduled=condition(False, "Unschedulable"))) is None


def test_a_node_without_the_condition_counts_from_the_pods_creation() -> None:
    span = span_of(unbound(node="node"))
    assert span
    assert span.since == SECOND


def test_a_warm_pod_counts_from_its_claim() -> None:
    warm = ready(pool="pool", created=NOW - timedelta(hours=5), claimed=NOW + timedelta(seconds=3))
    span = span_of(warm)
    assert span
    assert (span.since, span.start.warm_starts) == (SECOND + 3, 1)


@pytest.mark.parametrize(
    ("pod", "until"),
    [
        (ready(deletion_requested=NOW + timedelta(seconds=30)), SECOND + 30),
        (ready(phase="Failed", reported=NOW + timedelta(seconds=40)), SECOND + 40),
        (ready(phase="Succeeded"), SECOND + 100),
        # Clocks differ.
        (ready(deletion_requested=NOW - timedelta(seconds=30)), SECOND),
    ],
)
def test_a_pod_counts_until_its_deletion_was_asked_for_or_it_finished(pod: Pod, until: int) -> None:
    span = span_of(pod)
    assert span
    assert span.until == until


def test_a_further_pod_is_a_resume() -> None:
    other = status(Reason.READY).model_copy(update={"pod_uid": "another", "first_ready_time": rfc3339(NOW)})
    span = span_of(ready(), other)
    assert span
    assert span.start.resumes == 1


def test_the_launch_in_the_status_wins_for_its_own_pod() -> None:
    own = status(Reason.READY).model_copy(
        update={"pod_uid": POD_UID, "first_ready_time": rfc3339(NOW), "launch": "Cold"}
    )
    span = span_of(ready(), own)
    assert span
    assert span.start.cold_starts == 1


def test_a_suspended_sandbox_uses_time_and_its_volume() -> None:
    suspended = podless(Reason.SUSPENDED, workspace_kept=True, launch="Cold", first_ready_time=rfc3339(NOW))
    found = observed(sandbox(suspended), [], CLASS, LATER)
    rates = {name.split()[0]: span.rate for name, span in found.items()}
    assert rates.keys() == {"suspension", "volume"}
    assert rates["volume"].storage_mebibyte_seconds == 1024
    assert rates["suspension"].suspended_seconds == 1
    # Its class has gone, so the size is not known.
    assert [name.split()[0] for name in observed(sandbox(suspended), [], None, LATER)] == ["suspension"]


def test_a_malformed_time_is_an_error() -> None:
    broken = podless(Reason.SUSPENDED).model_copy(update={"conditions": []})
    broken = broken.model_copy(update={"workspace_kept": True, "launch": "Cold", "first_ready_time": "yesterday"})
    with pytest.raises(ValueError, match="yesterday"):
        observed(sandbox(broken), [], CLASS, LATER)
