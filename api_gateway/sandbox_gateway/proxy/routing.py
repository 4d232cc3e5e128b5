"""Decides to which upstream a request goes.

Host mode: `{runtime_id}.{base_domain}` is that sandbox; its agent server checks the key.
`{service}-{runtime_id}.{base_domain}` is a service of it: VSCode, which checks the key, or a server of its programs,
open to everybody who knows the host's name. A label that begins with a service is never a sandbox's own.

On any other host, the Runtime API's paths go to the control plane. Unknown API keys are refused here, at less than half
the cost of a refusal there. The console's paths go there, too, unless the request has a session key. Everything else
goes to the sandbox whose key the request carries (header mode): in X-Session-API-Key, else as a Bearer token, else in
the cookie for workspace files. A request with the keys of two sandboxes is refused, but a cookie yields to a key, since
browsers add cookies by themselves. All sandboxes share this host, so no other cookie is forwarded, and browsers show
workspace files without the host's rights.

If this replica does not know the sandbox of a genuine key, another replica may have just reported that key. Then the
request waits for the sandbox.

In both modes, a request counts (as activity, and to wake an idle sandbox) if it carries the sandbox's key and is not a
health check.
"""

import re
from dataclasses import dataclass, field

from sandbox_gateway.proxy.answers import HEALTHY, Answer, refuse, refuse_for_now, unknown_api_key
from sandbox_gateway.proxy.cors import is_preflight, preflight
from sandbox_gateway.proxy.credentials import (
    bearer_token,
    key_in_workspace_cookie,
    keys_beside_the_header,
    presents_key,
    unknown_key,
)
from sandbox_gateway.proxy.directory import Directory, Endpoint, NoSandbox, PodAddress, Service
from sandbox_gateway.proxy.head import RequestHead
from sandbox_gateway.proxy.headers import Cookies

_CONTROL_PATHS = re.compile(
    rb"/(?:start|stop|pause|resume|list|events|usage|pools|limits|registry_prefix|image_exists|build|build_status)"
    rb"|/api/(?:warm-runtime-configs|keys)"
    rb"|/(?:sessions|runtime|explain|logs|history|api/admin|api/keys)/.*",
    re.DOTALL,
)
DOCS_PATH = "/docs"
OPEN_PATHS = frozenset(
    {
        "/openapi.json",
        DOCS_PATH,
        *(f"{DOCS_PATH}/{name}" for name in ("start.js", "swagger-ui.css", "swagger-ui-bundle.js")),
    }
)
"""Paths of the control plane that need no key."""
_CONTROL_DOCS = frozenset(path.encode() for path in OPEN_PATHS)
_CONSOLE = re.compile(rb"/console(?:/.*)?", re.DOTALL)
"""Paths of the console, which checks its own cookie."""
_HEALTH_PATHS = frozenset({b"/health", b"/alive"})
_PROBES = frozenset({b"GET", b"HEAD"})
_PROBED_PATHS = _HEALTH_PATHS | {b"/ready", b"/server_info"}

_NO_HOST = (
    "There is no sandbox at this host name. It begins with a runtime_id, or with vscode-, work-1- or work-2- and a "
    "runtime_id; other ports of a sandbox have none."
)
_NO_KEY = (
    "This path belongs to a sandbox: send its session_api_key in the X-Session-API-Key header, or as a Bearer token in "
    "Authorization."
)
_WRONG_KEY = "The key in {} is not one of this gateway's session keys. Send the session_api_key of the sandbox."
_WRONG_COOKIE = (
    "The key in the cookie of the workspace is not one of this gateway's session keys. POST "
    "/api/auth/workspace-session with the sandbox's key in X-Session-API-Key sets a new one."
)
_TWO_SANDBOXES = "The request has the session keys of two sandboxes. Send one key, in X-Session-API-Key."
_GONE = "The sandbox of this session key has been deleted. Start a new one."


@dataclass(slots=True)
class ToControl:
    """The control plane answers. `owner` is the API key's; "" for paths that need no key."""

    owner: str = field(default="", compare=False)


@dataclass(slots=True)  # made for each request, and a frozen one takes three times as long to make
class ToSandbox:
    """The agent server at `address` answers, or the service of this name."""

    runtime_id: str
    address: PodAddress
    counts: bool
    """Whether the request counts as activity."""
    service: str = ""
    cookies: Cookies = "none"
    owner: str = ""


@dataclass(frozen=True, slots=True)
class ToSleeping:
    """Wake the sandbox, then route the request again. `detail` says how the sandbox is now."""

    runtime_id: str
    detail: str
    owner: str = ""


@dataclass(frozen=True, slots=True)
class ToUnknown:
    """Wait for the sandbox of this genuine key, then route the request again."""

    key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class AwaitFirstMessage:
    """A WebSocket whose first message will name the sandbox."""


_AWAIT_FIRST_MESSAGE = AwaitFirstMessage()

type BySandbox = ToSandbox | ToSleeping | ToUnknown | Answer
type Decision = ToControl | BySandbox | AwaitFirstMessage


def route(request: RequestHead, directory: Directory, base_domain: str) -> Decision:
    """Decide for one request. `base_domain` is lower case; without it there is no host mode."""
    if base_domain:
        host = request.host.decode("ascii").lower().partition(":")[0].removesuffix(".")
        if host.endswith("." + base_domain):
            return _by_label(host.removesuffix("." + base_domain), request, directory)
    of_control, _, in_header, others = request.asked or _ask(request)
    if of_control:
        return _to_control(request, directory)
    if b"x-session-api-key" in request.fields.repeated:
        return refuse(400, "X-Session-API-Key is given more than once.")
    if others:
        return _by_others(in_header, others, request, directory)
    if in_header is not None:
        return by_session_key(in_header, request, directory)
    return _AWAIT_FIRST_MESSAGE if request.websocket else _without_key(request, _NO_KEY)


def by_session_key(key: str, request: RequestHead, directory: Directory, cookies: Cookies = "none") -> BySandbox:
    """The sandbox of this session key, or the refusal: 401, 404 or 503."""
    found = directory.find_by_session_key(key)
    if isinstance(found, Endpoint):
        return _to(found, request, True, "", cookies)
    if found is NoSandbox.UNKNOWN:
        return ToUnknown(key)
    wrong = found is NoSandbox.NOT_GENUINE
    return refuse(401, _WRONG_KEY.format("X-Session-API-Key")) if wrong else refuse(404, _GONE)


def _by_others(in_header: str | None, others: tuple[str, ...], request: RequestHead, directory: Directory) -> Decision:
    """For a request with keys outside of the header. Other texts there are not meant for the gateway."""
    genuine = [key for key in others if directory.find_by_session_key(key) is not NoSandbox.NOT_GENUINE]
    in_cookie = key_in_workspace_cookie(request)
    if in_header is not None:
        decision = by_session_key(in_header, request, directory)
        wrong = isinstance(decision, Answer) and decision.status == 401
        return refuse(400, _TWO_SANDBOXES) if not wrong and set(genuine) - {in_header, in_cookie} else decision
    if genuine:
        return by_session_key(genuine[0], request, directory, "workspace" if genuine[0] == in_cookie else "none")
    if request.websocket:
        return refuse(401, _WRONG_KEY.format("the query"))
    return _without_key(request, _WRONG_KEY.format("Authorization") if bearer_token(request) else _WRONG_COOKIE)


def _to_control(request: RequestHead, directory: Directory) -> ToControl | Answer:
    if b"x-api-key" in request.fields.repeated:
        return refuse(400, "X-API-Key is given more than once.")
    api_key = request.fields.joined.get(b"x-api-key", b"").decode("latin-1")
    owner = directory.owner_of_api_key(api_key)
    return unknown_api_key(api_key) if owner is None else ToControl(owner)


def _by_label(label: str, request: RequestHead, directory: Directory) -> BySandbox:
    service = directory.find_service(label)
    if service is not None:
        return _to_service(service, request, directory)
    endpoint = directory.find_by_runtime_id(label)
    if (endpoint is None or endpoint.address is None) and is_preflight(request):
        return preflight(request)
    if endpoint is None:
        key = unknown_key(request, directory)
        return refuse(404, _NO_HOST) if key is None else ToUnknown(key)
    opened = presents_key(request, endpoint.runtime_id, directory)
    return _to(endpoint, request, opened, "", "all")


def _to_service(service: Service, request: RequestHead, directory: Directory) -> BySandbox:
    endpoint, vscode = service.endpoint, service.name == "vscode"
    if (endpoint is None or endpoint.address is None) and is_preflight(request):
        return preflight(request)
    if endpoint is None:
        key = unknown_key(request, directory, vscode=vscode)
        return refuse(404, service.detail) if key is None else ToUnknown(key)
    opened = presents_key(request, endpoint.runtime_id, directory, vscode=vscode)
    return _to(endpoint, request, opened, service.name, "all")


def _to(endpoint: Endpoint, request: RequestHead, opened: bool, service: str, cookies: Cookies) -> BySandbox:
    """`opened`: whether the request carries the sandbox's key."""
    _, is_probe, _, _ = request.asked or _ask(request)
    counts = opened and not is_probe
    if endpoint.address is not None:
        return ToSandbox(endpoint.runtime_id, endpoint.address, counts, service, cookies, endpoint.owner)
    detail = endpoint.detail or f"Sandbox {endpoint.runtime_id} is not running."
    if opened and endpoint.cause:
        detail = f"{detail} {endpoint.cause}"
    if counts and (endpoint.wakes_on_websocket if request.websocket else endpoint.wakes):
        return ToSleeping(endpoint.runtime_id, detail, endpoint.owner)
    return refuse(503, detail) if endpoint.passing is None else refuse_for_now(endpoint.passing, detail)


def _path(request: RequestHead) -> bytes:
    return request.target.partition(b"?")[0]


def _ask(request: RequestHead) -> tuple[bool, bool, str | None, tuple[str, ...]]:
    """(whether the path is the Runtime API's, whether this is a probe, the key in the header, keys in other places). It
    is remembered."""
    path = _path(request)
    key = request.fields.joined.get(b"x-session-api-key")
    request.asked = asked = (
        _CONTROL_PATHS.fullmatch(path) is not None,
        request.method in _PROBES and path in _PROBED_PATHS,
        None if key is None else key.decode("latin-1"),
        keys_beside_the_header(request),
    )
    return asked


def _without_key(request: RequestHead, detail: str) -> Decision:
    """`detail` says why the request is refused if it needs a key."""
    path = _path(request)
    if path in _HEALTH_PATHS and request.method in _PROBES:
        # This holds for each sandbox that was reported as ready: the gateway had reached its /health.
        return HEALTHY
    if path in _CONTROL_DOCS or _CONSOLE.fullmatch(path):
        return ToControl()
    if is_preflight(request):
        return preflight(request)
    return refuse(401, detail)
