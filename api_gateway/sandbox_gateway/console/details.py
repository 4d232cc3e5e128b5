"""What the page of one sandbox shows besides its explanation. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sandbox_common.redaction import redacted
from sandbox_common.sandboxes.view import View
from sandbox_crds.models import Sandbox
from sandbox_gateway.contract.addresses import Addresses, Origin
from sandbox_gateway.contract.responses import LimitsResponse

_LIMITS: Mapping[str, str] = {
    "running": "Sandboxes that start or run",
    "sandboxes": "All sandboxes, paused ones too",
    "startsPerMinute": "Starts a minute",
    "requestsPerMinute": "Calls a minute with each key",
    "resourceFactor": "Largest resource factor",
    "lifeSeconds": "Seconds until a sandbox is deleted",
}


@dataclass(frozen=True, slots=True)
class Action:
    """Something that a person can do with a sandbox."""

    name: str
    label: str
    question: str = ""
    """What to ask first; empty if it harms nothing."""
    explanation: str = ""


PAUSE = Action(
    "pause",
    "Pause",
    "Pause this sandbox?",
    "Its pod is deleted: what runs in it ends. Its URL, its key and the volume of /workspace stay. Without a volume "
    "the gateway refuses, unless the class accepts the loss.",
)
STOP = Action(
    "stop",
    "Stop",
    "Stop this sandbox for good?",
    "The sandbox, its /workspace and its conversations are deleted. This cannot be undone.",
)
RESUME = Action("resume", "Resume")
RESTART = Action("resume", "Start again")
ACTIONS: Mapping[str, Action] = {action.name: action for action in (PAUSE, RESUME, STOP)}


def actions(seen: View, *, is_own: bool) -> Sequence[Action]:
    """What makes sense in this state. Administrators do not start what is another owner's."""
    match seen.status:
        case "paused":
            possible = (RESUME, STOP)
        case "error":
            possible = (RESTART, PAUSE, STOP)
        case _:
            possible = (PAUSE, STOP)
    return [action for action in possible if is_own or action.name != "resume"]


def facts(sandbox: Sandbox, seen: View) -> Sequence[tuple[str, str, str]]:
    """Name, value, and the kind of the value: `text`, `code` or `time`. Empty values are left out."""
    spec, status = sandbox.spec, sandbox.status
    lost = f"{status.lost_pods} pods" if status.lost_pods else ""
    kept = {True: "kept over pauses", False: "lost with the pod", None: ""}[status.workspace_kept]
    known = [
        ("Id", sandbox.metadata.name, "code"),
        ("Owner", spec.owner, "text"),
        ("Image", redacted(spec.image), "code"),
        ("Class", spec.class_name, "text"),
        ("Launch", status.launch, "text"),
        ("Pool", status.pool, "text"),
        ("No warm pod", redacted(status.pool_miss), "text"),
        ("/workspace", kept, "text"),
        ("Pod", status.pod_name if seen.status != "paused" else "", "code"),
        ("Restarts", str(seen.restart_count or ""), "text"),
        ("Lost", lost, "text"),
        ("Created", sandbox.metadata.creation_timestamp, "time"),
    ]
    return [fact for fact in known if fact[1]]


def links(
    runtime_id: str, ports: Mapping[str, int], addresses: Addresses, origin: Origin
) -> Sequence[tuple[str, str, str]]:
    """Name, URL and a remark of each service that browsers reach; none in header mode."""
    found = addresses.of_services(runtime_id, ports, origin)
    named = zip(ports, found.items(), strict=False)
    remarks = {"vscode": "asks for the sandbox's session key"}
    return [(service, url, remarks.get(service, f"port {port}")) for service, (url, port) in named]


def snippet(sandbox: Sandbox, origin: Origin) -> str:
    """Python that connects OpenHands' SDK to this session; empty if no client has made it."""
    session = sandbox.spec.session_id
    if not session or redacted(session) != session:
        return ""
    return f"""\
import os
from openhands.workspace import APIRemoteWorkspace

with APIRemoteWorkspace(
    runtime_api_url={_quoted(f"{origin.scheme}://{origin.authority}")},
    runtime_api_key=os.environ["RUNTIME_API_KEY"],
    server_image={_quoted(sandbox.spec.image)},
    session_id={_quoted(session)},
    keep_alive=True,
) as workspace:
    print(workspace.execute_command("pwd").stdout)
"""


def limit_rows(limits: LimitsResponse) -> Sequence[tuple[str, int | None, int | None]]:
    """Each limit in words, its value, and how much of it is used; None for what does not exist."""
    values, used = limits.limits, limits.used
    return [
        (words, values.get(name), used.get(name)) for name, words in _LIMITS.items() if name in values or name in used
    ]


def _quoted(text: str) -> str:
    """A Python string, in double quotes if it has none."""
    return f'"{text}"' if text.isprintable() and not set(text) & {'"', "\\"} else ascii(text)
