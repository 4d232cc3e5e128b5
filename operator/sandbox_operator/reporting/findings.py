"""What a pod shows about its sandbox's readiness: a list of policies, of which the first that applies wins. Pure."""

import re
import signal
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sandbox_common import times
from sandbox_common.losses import LOSSES
from sandbox_common.pulls import late_at, pull_words
from sandbox_common.reasons import Reason
from sandbox_crds.models import Pull
from sandbox_operator.reporting import delivery, finality
from sandbox_operator.reporting.losses import cause
from sandbox_operator.reporting.redaction import tail
from sandbox_operator.watching.pods import BENIGN_WAITS, START_ERROR, Container, Pod, Run
from sandbox_operator.watching.pulls import PullUnderWay

_SHORT_RUN_SECONDS = 60.0
_LOG_CHARACTERS = 1024
_NO_ENVIRONMENT = (
    "The environment that the client sent is missing. The client can send it again with /start. After a restore, also "
    "check whether the backup has the Secret."
)
_VOLUME_ELSEWHERE = re.compile(r"PersistentVolume's node affinity|volume node affinity conflict")
"""Newer schedulers say the first, older ones the second."""
VOLUME_OF_NODES = (
    "The volume of /workspace can be used only on certain nodes: those of its zone, or a single one. Add such a node, "
    "bring it back, or make room on it. Only if the volume itself is lost for good: suspend the sandbox, delete its "
    "claim (status.volumeClaim), and resume it. Its /workspace is then empty."
)
_IMAGE_CHARACTERS = 256
_RESTART_CHARACTERS = 512

_LONGEST_PULL = 7 * 24 * 3600
_CLOCKS_DIFFER = timedelta(seconds=5)

_VOLUME_IS_MADE = timedelta(seconds=4)

OVERDUE = timedelta(seconds=15)
"""A node counts as lost this long after a deleted pod should have ended, since a kubelet kills the pod at that time."""

GIVEN_UP = timedelta(minutes=5)
"""A deleted pod without other signs of a lost node counts as lost this long after it should have ended. If it was not
ready when its node stopped reporting, it looks like a pod whose kubelet is slow."""

# Reasons of `state.waiting` (Kubernetes 1.36, pkg/kubelet: images/types.go, container/sync_result.go, cri-api errors).
_CRASH_LOOP = "CrashLoopBackOff"
_RUN_ERROR = "RunContainerError"
_NO_RUN = "The command cannot be run"
_NOT_RUN = frozenset({126, 127})
"""Exit codes of a shell that cannot execute a command, or does not find it (builders/launch.py)."""
_INVALID_IMAGE = "InvalidImageName"
# Reasons of the condition `Ready` that kubelets give (pkg/kubelet/status/generate.go).
_KUBELET_UNREADY = frozenset({"ContainersNotReady", "ReadinessGatesNotReady", "PodCompleted", "PodFailed"})
# Messages of a pod that fits no node only because of its volume claim (pkg/scheduler, volumebinding).
_UNBOUND = re.compile(
    r"unbound immediate PersistentVolumeClaims|persistentvolumeclaim \"[^\"]*\" not found"
    r"|find available persistent volumes to bind|bound to non-existent|binding volumes"
)
_OTHER_CAUSES = ("Insufficient", "untolerated taint", "affinity/selector", "unschedulable.")
_BACK_OFF = re.compile(r'Back-off pulling image "[^"]*"(?:: )?')


@dataclass(frozen=True, slots=True)
class Finding:
    """A reason for the condition `Ready`, with a message for people.

    `passing_since` marks a state that usually passes within milliseconds, so it is written only after it has lasted.
    `remedy` is specific to this case; "" for the remedy of the reason. `stands` keeps the old message if the reason is
    still the same. `log`, `workspace_kept` and `pull` are parts of the message, as data; if there is a pod, its own
    volumes say what is kept.
    """

    reason: Reason
    message: str = ""
    passing_since: datetime | None = None
    remedy: str = ""
    stands: bool = False
    log: str = ""
    workspace_kept: bool | None = None
    pull: Pull | None = None


def _is_ready(pod: Pod) -> Finding | None:
    return Finding(Reason.READY) if pod.is_ready else None


def _is_unschedulable(pod: Pod) -> Finding | None:
    if pod.scheduled is None or pod.scheduled.status:
        return None
    words = pod.scheduled.message or pod.scheduled.reason
    message = f"The pod cannot be scheduled: {words}"
    if _UNBOUND.search(words) and not any(cause in words for cause in _OTHER_CAUSES):
        # Usual for some seconds: the claim is as new as the pod, and the message stays while the volume is made.
        return Finding(Reason.VOLUME_NOT_BOUND, message, passing_since=pod.created + _VOLUME_IS_MADE)
    return Finding(Reason.UNSCHEDULABLE, message, remedy=VOLUME_OF_NODES if _VOLUME_ELSEWHERE.search(words) else "")


def _waits_for_node(pod: Pod) -> Finding | None:
    if pod.node:
        return None
    return Finding(Reason.PENDING, "The pod waits for a node.", passing_since=pod.created)


def _has_invalid_image(pod: Pod) -> Finding | None:
    if pod.container is None or pod.container.waiting_reason != _INVALID_IMAGE:
        return None
    image, remedy = _awaited(pod, Reason.INVALID_IMAGE_NAME)
    return Finding(Reason.INVALID_IMAGE_NAME, _sentence(f"{_INVALID_IMAGE}: {image}", pod.container), remedy=remedy)


def _cannot_pull_image(pod: Pod) -> Finding | None:
    if pod.container is None or pod.container.waiting_reason not in finality.IMAGE_WAITS:
        return None
    reason = finality.of_image(pod.container.waiting_reason, pod.container.waiting_message)
    image, remedy = _awaited(pod, reason)
    # The kubelet alternates between trying and waiting. Both get the same message, so it is written once.
    what = f"ImagePullBackOff: the image {image} cannot be pulled"
    return Finding(reason, _sentence(what, pod.container), remedy=remedy)


def _lacks_agent_server(pod: Pod) -> Finding | None:
    trouble = delivery.trouble(pod)
    return trouble and Finding(trouble.reason, trouble.message, remedy=trouble.remedy)


def _has_lost_node(pod: Pod) -> Finding | None:
    """The kubelet is silent, and the node controller has overruled it: the container is ready, but the pod is not."""
    ready = pod.ready
    if ready is None or ready.status or ready.reason in _KUBELET_UNREADY:
        return None
    if pod.container is None or not pod.container.ready:
        return None
    return Finding(Reason.NODE_LOST, f"Node {pod.node} does not report{f': {ready.message}' if ready.message else '.'}")


def _waits_for_others(pod: Pod) -> Finding | None:
    if pod.container is None or not pod.container.ready or pod.ready is None:
        return None
    why = pod.ready.message or pod.ready.reason
    return Finding(Reason.POD_NOT_READY, f"The agent server answers, but the rest of the pod is not ready: {why}")


def _has_stopped_answering(pod: Pod) -> Finding | None:
    container, ready = pod.container, pod.ready
    if container is None or container.running_since is None or ready is None or ready.since is None:
        return None
    # If the pod became unready after this run began, it was ready in this run.
    if ready.since <= container.running_since:
        return None
    return Finding(Reason.NOT_RESPONDING, "The agent server runs and does not answer its readiness probe.")


def _cannot_run(pod: Pod) -> Finding | None:
    """The container was made, but its process could not be started."""
    container = pod.container
    if container is None or container.running_since is not None:
        return None
    if container.waiting_reason == _RUN_ERROR:
        words = container.waiting_message
    elif container.last_run and container.last_run.reason == START_ERROR:
        # This shows between two attempts, with the same message.
        words = container.last_run.message
    else:
        return None
    reason = finality.of_command(words)
    what = _NO_RUN if reason is Reason.COMMAND_CANNOT_RUN else "The container cannot be started"
    return Finding(reason, _words(what, words))


def _crashes_in_a_loop(pod: Pod) -> Finding | None:
    container = pod.container
    if container is None or not _is_crash_loop(container):
        return None
    run = container.last_run
    reason = Reason.OOM_KILLED if run and run.reason == "OOMKilled" else Reason.CRASH_LOOP_BACK_OFF
    return Finding(reason, _cause(run), log=_log(run)) if run else Finding(reason, _obstacle(container))


def _cannot_create_container(pod: Pod) -> Finding | None:
    container = pod.container
    if container is None or container.waiting_reason in BENIGN_WAITS | {_CRASH_LOOP}:
        return None
    reason = finality.of_container(container.waiting_message)
    # As the kubelet says it (Kubernetes 1.36, pkg/kubelet/kubelet_pods.go). The Secret's name begins with the pod's.
    lacks_environment = container.waiting_message.startswith(f'secret "{pod.name}-env')
    return Finding(reason, _obstacle(container), remedy=_NO_ENVIRONMENT if lacks_environment else "")


def _is_held_up(pod: Pod) -> Finding | None:
    obstacle = pod.obstacle
    if obstacle is None or (pod.container and pod.container.running_since):
        return None
    why = f": {tail(obstacle.message, _LOG_CHARACTERS)}" if obstacle.message.strip() else "."
    return Finding(Reason.CREATE_CONTAINER_ERROR, f"Container {obstacle.container}: {obstacle.reason}{why}")


def _restarts(pod: Pod) -> Finding | None:
    if pod.container is None or pod.container.last_run is None:
        return None
    run = pod.container.last_run
    return Finding(Reason.CONTAINER_RESTARTING, f"Started again. {_cause(run)}", log=_log(run))


def _starts(pod: Pod) -> Finding:
    return Finding(
        Reason.STARTING,
        f"On node {pod.node}: the image is pulled if needed, then the agent server boots.",
        passing_since=pod.created,
    )


POLICIES: tuple[Callable[[Pod], Finding | None], ...] = (
    _is_ready,
    _is_unschedulable,
    _waits_for_node,
    _has_invalid_image,
    _cannot_pull_image,
    _lacks_agent_server,
    _has_lost_node,
    _waits_for_others,
    _has_stopped_answering,
    _cannot_run,
    _crashes_in_a_loop,
    _cannot_create_container,
    _is_held_up,
    _restarts,
)
"""In order of precedence. If none applies, the pod is starting."""


def examine(pod: Pod) -> Finding:
    """The finding about a pod that is neither finished nor being deleted."""
    return next((finding for policy in POLICIES if (finding := policy(pod))), _starts(pod))


def pulling(pull: PullUnderWay, reported: Pull | None, now: datetime) -> Finding:
    """That a pod which is starting waits for an image. A pull that was reported with its size keeps its prediction."""
    image, since = tail(pull.image, _IMAGE_CHARACTERS), times.rfc3339(pull.since)
    if (
        reported is None
        or (reported.image, reported.start_time) != (image, since)
        or (pull.size and not reported.size_bytes)
    ):
        reported = Pull(
            image=image,
            node=pull.node,
            start_time=since,
            size_bytes=pull.size,
            expected_seconds=min(round(pull.expected_seconds), _LONGEST_PULL),
        )
    late = late_at(reported)
    words = pull_words(reported, late=late is not None and now >= late)
    # A kubelet's clock may be far ahead, and nobody is to wait for it.
    is_ahead = pull.since > now + _CLOCKS_DIFFER
    return Finding(Reason.STARTING, words, passing_since=None if is_ahead else pull.since, pull=reported)


def lost_node(pod: Pod, now: datetime) -> Finding | None:
    """The finding that the pod's node does not report; None if it does. Also for a pod that is being deleted."""
    if pod.deletion_due and not pod.is_finished and pod.node and now >= pod.deletion_due + OVERDUE:
        due = times.rfc3339(pod.deletion_due)
        return Finding(Reason.NODE_LOST, f"Node {pod.node} does not report: the pod should have ended at {due}.")
    return _has_lost_node(pod)


def abandoned_at(pod: Pod) -> datetime | None:
    """When the operator stops waiting for the end of a deleted pod; None: never.

    A silent node may still run the pod, which could then write to a volume, so only pods without a volume are
    abandoned. A pod that was deleted without a grace period waits only for finalizers.
    """
    if not pod.is_local or not pod.node or pod.is_finished or pod.deletion_due is None:
        return None
    if pod.deletion_requested == pod.deletion_due:
        return None
    return pod.deletion_due + (OVERDUE if _has_lost_node(pod) else GIVEN_UP)


def ending(pod: Pod, now: datetime) -> Finding:
    """The finding about a pod that others have deleted. It may change at `deletion_due` + OVERDUE."""
    if lost := lost_node(pod, now):
        return lost
    if who := disrupted_by(pod):
        return Finding(Reason.EVICTED, f"{who} The pod ends; a new one follows.", remedy=LOSSES[cause(pod)].remedy)
    return Finding(
        Reason.POD_TERMINATING, "The pod ends; a new one follows.", passing_since=pod.deletion_requested or now
    )


def finished(pod: Pod) -> Finding:
    """The finding about a pod whose containers have ended for good."""
    evicted = disrupted_by(pod) or pod.reason == "Evicted"
    reason, remedy = (Reason.EVICTED, LOSSES[cause(pod)].remedy) if evicted else (Reason.POD_FAILED, "")
    return Finding(reason, f"{ended_by(pod)} It is replaced.", remedy=remedy)


def ended_by(pod: Pod) -> str:
    """One sentence that says who ended a finished pod, and why."""
    who = disrupted_by(pod)
    return who if who and not pod.message else _in_words(pod.reason or pod.phase, pod.message)


def disrupted_by(pod: Pod) -> str:
    """One sentence, from Kubernetes, that says who ends or has ended the pod, and why; "" if it does not say so."""
    if pod.disruption is None or not pod.disruption.status:
        return ""
    return _in_words(pod.disruption.reason, pod.disruption.message)


def is_without_cause(pod: Pod) -> bool:
    """Whether the kubelet waits to pull the image again and does not say why, as before Kubernetes 1.32."""
    container = pod.container
    if container is None or container.waiting_reason != "ImagePullBackOff":
        return False
    return not _BACK_OFF.sub("", container.waiting_message, count=1).strip()


def restart_reason(pod: Pod) -> str:
    """Why the container was last restarted, at most 1,024 characters; "" if it was not, or the cause is unknown."""
    container = pod.container
    if container is None or container.last_run is None or not container.restarts:
        return ""
    return _cause(container.last_run, _RESTART_CHARACTERS)


def restart_log(pod: Pod) -> str:
    """The last lines of the agent server's log before the last restart of the container; "" if unknown."""
    container = pod.container
    return _log(container.last_run) if container and container.last_run and container.restarts else ""


def _in_words(reason: str, message: str) -> str:
    # Kubelets end a sentence with a period and a space.
    return ": ".join(part for part in (reason, message) if part).rstrip(". ") + "."


def _is_crash_loop(container: Container) -> bool:
    if container.waiting_reason == _CRASH_LOOP:
        return True
    run = container.last_run
    if container.ready or run is None or run.seconds >= _SHORT_RUN_SECONDS:
        return False
    return container.restarts >= 2


def _obstacle(container: Container) -> str:
    return _sentence(container.waiting_reason, container)


def _cause(run: Run, limit: int = _LOG_CHARACTERS) -> str:
    if run.reason == START_ERROR:
        how = "It could not be started"
    elif run.exit_code in _NOT_RUN:
        how = _NO_RUN
    elif run.reason == "OOMKilled":
        how = f"The agent server ran out of memory (OOMKilled, exit code {run.exit_code})"
    else:
        how = f"The agent server ended with exit code {run.exit_code}{_signal_name(run.exit_code)}"
        if run.reason not in {"", "Error", "Completed"}:
            how += f", {run.reason}"
    last_words = tail(run.message, limit)
    return f"{how}: {last_words}" if last_words else f"{how}."


def _log(run: Run) -> str:
    """The end of the agent server's log. If the agent server has not run, the message is not its log."""
    return "" if run.reason == START_ERROR or run.exit_code in _NOT_RUN else tail(run.message, _LOG_CHARACTERS)


def _signal_name(exit_code: int) -> str:
    # Shells and container runtimes add 128 to the number of the signal that ended a process.
    try:
        return f" ({signal.Signals(exit_code - 128).name})"
    except ValueError:
        return ""


def _awaited(pod: Pod, reason: Reason) -> tuple[str, str]:
    """The image that the container waits for, and what helps if it is the agent server's."""
    is_server = delivery.is_awaited(pod)
    image, remedy = (pod.server_image, delivery.REMEDIES[reason]) if is_server else (pod.image, "")
    return tail(image, _IMAGE_CHARACTERS), remedy


def _sentence(what: str, container: Container) -> str:
    why = _BACK_OFF.sub("", container.waiting_message, count=1)
    for reason in finality.IMAGE_WAITS:
        why = why.removeprefix(f"{reason}: ")
    return _words(what, why)


def _words(what: str, why: str) -> str:
    return f"{what}: {tail(why, _LOG_CHARACTERS)}" if why.strip() else f"{what}."
