"""Which upstream a request is for.

Host mode: `{runtime_id}.{base_domain}` is that sandbox, whole; its agent server checks the key. On any other host the
Runtime API's paths are the control plane, and all else goes to the sandbox whose key comes along (header mode).
"""

import re
from dataclasses import dataclass
from urllib.parse import parse_qs

from sandbox_gateway.directory import Directory, Endpoint, NoSandbox
from sandbox_gateway.proxy.answers import HEALTHY, Answer, refuse
from sandbox_gateway.proxy.head import RequestHead

_CONTROL_PATHS = re.compile(
    rb"/(?:start|stop|pause|resume|list|registry_prefix|image_exists|build|build_status|api/warm-runtime-configs|api/keys)"
    rb"|/(?:sessions|runtime|explain|api/admin|api/keys)/.*",
    re.DOTALL,
)
_CONTROL_DOCS = frozenset({b"/docs", b"/redoc", b"/openapi.json"})
_HEALTH_PATHS = frozenset({b"/health", b"/alive"})

_NO_KEY = "This path belongs to a sandbox: send its key in the X-Session-API-Key header."
_WRONG_KEY = "The key in X-Session-API-Key is not one of this gateway's session keys."
_GONE = "The sandbox of this session key has been deleted. Start a new one."


@dataclass(frozen=True, slots=True)
class ToControl:
    """The control plane answers."""


@dataclass(frozen=True, slots=True)
class ToSandbox:
    """The agent server at `address` answers."""

    runtime_id: str
    address: tuple[str, int]


@dataclass(frozen=True, slots=True)
class AwaitFirstMessage:
    """A WebSocket whose first message will name the sandbox."""


type Decision = ToControl | ToSandbox | Answer | AwaitFirstMessage


def route(request: RequestHead, directory: Directory, base_domain: str) -> Decision:
    """Decide for one request. `base_domain` is lower case; empty switches host mode off."""
    if base_domain:
        host = request.host.decode("ascii").lower().partition(":")[0].removesuffix(".")
        if host.endswith("." + base_domain):
            return _by_runtime_id(host.removesuffix("." + base_domain), directory)
    path = request.target.partition(b"?")[0]
    if _CONTROL_PATHS.fullmatch(path):
        return ToControl()
    if b"x-session-api-key" in request.fields.repeated:
        return refuse(400, "X-Session-API-Key is given more than once.")
    in_header = request.fields.joined.get(b"x-session-api-key")
    if in_header is not None:
        return by_session_key(in_header.decode("latin-1"), directory)
    if not request.websocket:
        return _without_key(request, path)
    in_query = _key_in_query(request.target)
    return AwaitFirstMessage() if in_query is None else by_session_key(in_query, directory)


def by_session_key(key: str, directory: Directory) -> ToSandbox | Answer:
    """The sandbox that this session key opens, or why none: 401, 404 or 503."""
    match directory.find_by_session_key(key):
        case NoSandbox.NOT_GENUINE:
            return refuse(401, _WRONG_KEY)
        case NoSandbox.GONE:
            return refuse(404, _GONE)
        case Endpoint() as endpoint:
            return _to(endpoint)


def _by_runtime_id(label: str, directory: Directory) -> ToSandbox | Answer:
    endpoint = directory.find_by_runtime_id(label)
    if endpoint is None:
        return refuse(404, "There is no sandbox at this host name.")
    return _to(endpoint)


def _to(endpoint: Endpoint) -> ToSandbox | Answer:
    if endpoint.address is None:
        return refuse(503, endpoint.detail or f"Sandbox {endpoint.runtime_id} is not running.")
    return ToSandbox(endpoint.runtime_id, endpoint.address)


def _without_key(request: RequestHead, path: bytes) -> Decision:
    if path in _HEALTH_PATHS and request.method in (b"GET", b"HEAD"):
        # True for every sandbox whose start was reported as ready: the gateway had reached that one's /health.
        return HEALTHY
    if path in _CONTROL_DOCS:
        return ToControl()
    fields = request.fields.joined
    if request.method == b"OPTIONS" and b"origin" in fields and b"access-control-request-method" in fields:
        return _preflight(fields)
    return refuse(401, _NO_KEY)


def _preflight(fields: dict[bytes, bytes]) -> Answer:
    """A browser's preflight carries no key, so no sandbox can be asked.

    Letting it pass gives nothing away: the request that follows needs the key, and the sandbox's own CORS headers
    decide whether the page may read its answer. Credentials are not allowed: every sandbox shares this origin, and a
    page with its own key could have another sandbox's cookies sent to itself.
    """
    headers = [
        (b"Access-Control-Allow-Origin", fields[b"origin"]),
        (b"Access-Control-Allow-Methods", fields[b"access-control-request-method"]),
        (b"Access-Control-Max-Age", b"600"),
        (b"Vary", b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers"),
    ]
    if requested := fields.get(b"access-control-request-headers"):
        headers.append((b"Access-Control-Allow-Headers", requested))
    return Answer(204, headers=tuple(headers))


def _key_in_query(target: bytes) -> str | None:
    """The agent server still takes `session_api_key` as a query parameter of its WebSockets."""
    query = target.partition(b"?")[2].decode("latin-1")
    values = parse_qs(query).get("session_api_key") if query else None
    return values[-1] if values else None  # the last one counts there, too
