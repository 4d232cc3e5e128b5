"""Why a sandbox is as it is: cause, evidence and remedy. Pure."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from pydantic import BaseModel, Field

from sandbox_common.cluster_events import ClusterEvent
from sandbox_common.command import present_port
from sandbox_common.losses import losses_words
from sandbox_common.reasons import MEANINGS, ExpiryReason, Lifecycle, PodStatus, Reason
from sandbox_common.redaction import redacted
from sandbox_common.remedies import remedy_of, said, without_remedy
from sandbox_common.sandboxes.view import View, is_seen
from sandbox_common.times import rfc3339
from sandbox_crds.models import Condition, Launch, Sandbox, SandboxStatus

_MAXIMUM_EVENTS = 20
_SUSPENDED_BY = {
    "Requested": "somebody paused it (POST /pause, `kubectl ohsb pause`)",
    "Idle": "it was idle",
    "StartTimeout": "its start took too long",
    "": "somebody set spec.suspend of the Sandbox",
}
_EXPIRY_REMEDIES: dict[str, str] = {
    ExpiryReason.MAXIMUM_LIFE: "Fetch what you need from it, or raise spec.maximumLifeSeconds of the Sandbox.",
    ExpiryReason.SUSPENDED_TOO_LONG: "Resume it to keep it: POST /resume.",
    ExpiryReason.NEVER_READY: "A slow start needs a larger progressDeadlineSeconds of its SandboxClass.",
}


class Evidence(BaseModel):
    """Something that was observed."""

    source: Literal["condition", "launch", "loss", "event", "log"] = Field(
        description="A condition of the Sandbox, how its pod was made (claimed from a pool, or why not), a loss, a "
        "Kubernetes Event, or the last lines of the agent server's log."
    )
    text: str
    time: str = Field(description="RFC 3339; empty if unknown.")


class Explanation(BaseModel):
    """Why a sandbox is as it is."""

    runtime_id: str
    status: Lifecycle
    pod_status: PodStatus
    reason: str = Field(description="The cause in one word, as in the condition `Ready` of the Sandbox.")
    launch: Launch = Field(
        description="How its pod was made: for its first start, from a pool, or for a resume. Empty without a pod."
    )
    cause: str
    evidence: list[Evidence] = Field(
        description="Conditions first, then the launch, losses, the log, and Events, the newest first."
    )
    remedy: str = Field(description="What a person can do; empty if nothing.")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is known besides the Sandbox itself."""

    events: Collection[ClusterEvent] = ()
    events_problem: str = ""
    """Why the Events could not be read; empty if they were."""
    base_domain: str | None = ""
    """The base domain; empty in header mode, None if it is unknown which mode the gateway has."""
    service_ports: Mapping[str, int] = MappingProxyType({})
    """Port by service."""
    secrets: Collection[str] = ()
    """Secrets that no text may have, besides everything that looks like a session key."""
    would_lose_workspace: bool = False
    """Whether a suspension would lose its workspace, and its class does not accept this."""


def explain(sandbox: Sandbox, seen: View, around: Surroundings) -> Explanation:
    """The explanation of a sandbox with this view."""
    expiring = sandbox.status.condition("Expiring")
    message, remedy = _message(sandbox, seen)
    cause = _without_log(message, sandbox.status.log)
    causes = [_cause(sandbox, seen, cause)]
    remedies = [_remedy(sandbox, seen, around) or remedy]
    if expiring is not None and expiring.status == "True":
        causes.append(f"It will be deleted ({expiring.reason}): {expiring.message}")
        remedies.append(_EXPIRY_REMEDIES.get(expiring.reason, ""))
    evidence = [
        *(_of_condition(sandbox.status, condition) for condition in sandbox.status.conditions),
        *_of_launch(sandbox.status),
        *_of_workspace(sandbox, around),
        *_of_losses(sandbox.status),
        *_of_log(sandbox.status, is_cause=cause != message),
        *_of_events(around.events),
    ]
    if around.events_problem:
        evidence.append(Evidence(source="event", text=around.events_problem, time=""))
    return Explanation(
        runtime_id=sandbox.metadata.name,
        status=seen.status,
        pod_status=seen.pod_status,
        reason=seen.reason,
        launch=sandbox.status.launch,
        cause=redacted(" ".join(causes), around.secrets),
        evidence=[entry.model_copy(update={"text": redacted(entry.text, around.secrets)}) for entry in evidence],
        remedy=redacted(" ".join(filter(None, remedies)), around.secrets),
    )


def _message(sandbox: Sandbox, seen: View) -> tuple[str, str]:
    """The view's message without its remedy, and the remedy."""
    if seen.reason not in Reason:
        return seen.message, ""
    condition, meaning = sandbox.status.condition("Ready"), MEANINGS[Reason(seen.reason)]
    own = condition is not None and condition.reason == seen.reason
    remedy = remedy_of(sandbox.status, condition) if condition and own else meaning.remedy
    return without_remedy(seen.message, remedy) or meaning.text, remedy


def _without_log(message: str, log: str) -> str:
    """The message without the log at its end, if there is one."""
    # A message that ends without a full stop gets one before a remedy.
    for end in (f": {log}", f": {log}."):
        if log and message.endswith(end):
            return f"{message.removesuffix(end)}."
    return message


def _is_unseen(sandbox: Sandbox, seen: View) -> bool:
    """Whether the operator has not reported anything about it yet."""
    return seen.reason in {Reason.PENDING, Reason.SUSPENDING} and not is_seen(sandbox)


def _cause(sandbox: Sandbox, seen: View, message: str) -> str:
    if seen.suspended:
        condition = sandbox.status.condition("Ready")
        since = f" since {condition.last_transition_time}" if condition else ""
        by = _SUSPENDED_BY[sandbox.spec.suspend_reason]
        return f"It is paused{since}: {by}. {message}"
    if _is_unseen(sandbox, seen):
        what = "paused" if sandbox.spec.suspend else "to run"
        return f"It shall be {what}; the operator has not looked at it since it was last changed."
    return message


def _remedy(sandbox: Sandbox, seen: View, around: Surroundings) -> str:
    if _is_unseen(sandbox, seen):
        return "If this lasts, see whether the operator runs and what it logs."
    if seen.unreached:
        port = present_port(sandbox)
        return (
            f"If this lasts, see whether NetworkPolicies let the gateway reach the pod on port {port}, and whether the "
            "agent server listens there on all addresses (--host 0.0.0.0)."
        )
    if seen.ready and around.base_domain:
        return (
            f"If its URL is not found, lead *.{around.base_domain} to the gateway, in DNS and in the certificate. "
            f"{_served(sandbox, around)}"
        )
    if seen.ready and around.base_domain is None:
        return (
            "If requests to it are refused, send its session key in X-Session-API-Key. `kubectl port-forward` of its "
            "pod reaches it without a gateway."
        )
    if seen.ready:
        return (
            "If requests to it are refused, send its session_api_key in X-Session-API-Key: all sandboxes share the "
            "gateway's URL, and the key names one of them. Browsers reach VSCode and the programs' servers only in "
            "host mode: set gateway.baseDomain of the chart."
        )
    if seen.reason == Reason.IDLE:
        return "Send it a request with its session key, which wakes it, or resume it: POST /resume."
    return ""


def _served(sandbox: Sandbox, around: Surroundings) -> str:
    hosts = [
        f"{service}-{sandbox.metadata.name}.{around.base_domain} (port {port})"
        for service, port in around.service_ports.items()
    ]
    if not hosts:
        return "It has no hosts for browsers: its SandboxClass or its own servicePorts take them away."
    return f"Browsers reach what listens in it, on 0.0.0.0, at {', '.join(hosts)}."


def _of_condition(status: SandboxStatus, condition: Condition) -> Evidence:
    words = ": ".join(filter(None, (condition.reason, said(status, condition))))
    text = f"{condition.type} is {condition.status}, {words}"
    return Evidence(source="condition", text=text, time=condition.last_transition_time)


def _of_launch(status: SandboxStatus) -> Iterable[Evidence]:
    """How the present pod was made."""
    match status.launch:
        case "Warm":
            # The pod is older than its claim.
            text, time = f"Warm start: its pod was claimed, ready, from SandboxPool {status.pool}", status.ready_time
        case "Cold" if status.pool_miss:
            text, time = f"Cold start, since no warm pod fits: {status.pool_miss}", status.start_time
        case "Cold":
            text, time = "Cold start: its pod was made for it", status.start_time
        case "Resume":
            text, time = "Resumed: its pod was made for it anew", status.start_time
        case _:
            return
    yield Evidence(source="launch", text=text, time=time)


def _of_workspace(sandbox: Sandbox, around: Surroundings) -> Iterable[Evidence]:
    """That it is never suspended for idleness, whatever its timeout is."""
    if around.would_lose_workspace:
        text = (
            "Its pod has no volume for /workspace, and workspace.discardOnSuspension of SandboxClass "
            f"{sandbox.spec.class_name} is not true. So no idle timeout applies, POST /pause is refused, and it runs "
            "until it is stopped"
        )
        yield Evidence(source="launch", text=text, time=sandbox.status.start_time)


def _of_losses(status: SandboxStatus) -> Iterable[Evidence]:
    if status.last_loss is not None:
        yield Evidence(source="loss", text=losses_words(status), time=status.last_loss.time)


def _of_log(status: SandboxStatus, *, is_cause: bool) -> Iterable[Evidence]:
    """The last lines of the agent server's log: before it failed, or before its last restart."""
    condition = status.condition("Ready")
    # Versions before `status.log` wrote it only at the end of `restartReason`.
    if text := status.log or status.restart_reason:
        yield Evidence(source="log", text=text, time=condition.last_transition_time if condition and is_cause else "")


def _of_events(events: Collection[ClusterEvent]) -> Iterable[Evidence]:
    newest = sorted(events, key=lambda event: (event.seen, event.reason, event.note), reverse=True)
    for event in newest[:_MAXIMUM_EVENTS]:
        often = f" ({event.count} times)" if event.count > 1 else ""
        yield Evidence(
            source="event",
            text=f"{event.type} {event.reason}, {event.kind} {event.name}: {event.note}{often}",
            time=rfc3339(event.seen),
        )
