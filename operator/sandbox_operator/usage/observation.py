"""What a sandbox uses now, from its own state and that of its pods. Pure."""

from collections.abc import Iterable
from datetime import datetime

from sandbox_common.usage import Span, rate_of_pod, resting, starting
from sandbox_crds.models import Sandbox, SandboxClass
from sandbox_operator.reporting.status import launch_of
from sandbox_operator.watching.pods import Pod


def observed(sandbox: Sandbox, pods: Iterable[Pod], class_: SandboxClass | None, now: datetime) -> dict[str, Span]:
    """The sandbox's spans by name: its suspension, its volume, and each pod. Raises ValueError.

    A pod counts from its binding to a node, or its claim, until its deletion was requested or it has finished.
    """
    found = resting(sandbox, class_.spec if class_ else None)
    for pod in pods:
        if pod.node:
            found[pod.uid] = Span(
                sandbox.spec.class_name,
                _second(_began(pod)),
                rate_of_pod(*pod.requests),
                _ended(pod, now),
                starting(launch_of(sandbox.status, pod)),
            )
    return found


def _began(pod: Pod) -> datetime:
    bound = pod.scheduled.since if pod.scheduled and pod.scheduled.status else None
    return max(bound or pod.created, pod.claimed or pod.created)


def _ended(pod: Pod, now: datetime) -> int | None:
    if pod.deletion_requested:
        return max(_second(pod.deletion_requested), _second(_began(pod)))
    return max(_second(pod.reported or now), _second(_began(pod))) if pod.is_finished else None


def _second(time: datetime) -> int:
    return int(time.timestamp())
