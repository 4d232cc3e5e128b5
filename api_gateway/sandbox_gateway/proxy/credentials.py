"""The session key in a request, at every place where the agent server accepts one.

These are the header X-Session-API-Key; `Authorization: Bearer` for its OpenAI-like routes; the cookie for workspace
files; `session_api_key` in the query of its WebSockets (openhands_agent_server 1.58.2). VSCode accepts it as `tkn` in
the query of a link, and in the cookie that it then sets (VS Code, `serverConnectionToken.ts`).
"""

import re
from collections.abc import Iterator
from urllib.parse import parse_qs

from sandbox_gateway.proxy.directory import Directory, NoSandbox
from sandbox_gateway.proxy.head import RequestHead

WORKSPACE_COOKIE = b"oh_workspace_session_key"
_WORKSPACE = re.compile(rb"/api/conversations/[^/]+/workspace(?:/.*)?", re.DOTALL)
"""Paths of workspace files: the agent server accepts the cookie only for a GET of these."""
_QUERY = "session_api_key"
_VSCODE_COOKIE = b"vscode-tkn"
_VSCODE_QUERY = "tkn"


def presents_key(request: RequestHead, runtime_id: str, directory: Directory, *, vscode: bool = False) -> bool:
    """Whether the request carries the genuine key of this sandbox; with `vscode`, also at VSCode's places."""
    return any(directory.opens(key, runtime_id) for key in _session_keys(request, vscode=vscode))


def unknown_key(request: RequestHead, directory: Directory, *, vscode: bool = False) -> str | None:
    """A genuine key in the request whose sandbox this replica does not know."""
    keys = _session_keys(request, vscode=vscode)
    return next((key for key in keys if directory.find_by_session_key(key) is NoSandbox.UNKNOWN), None)


def keys_beside_the_header(request: RequestHead) -> tuple[str, ...]:
    """The keys that can name the sandbox if the header does not, in order of precedence.

    They are where the agent server accepts them: in the query of a WebSocket; otherwise as a Bearer token, and for a
    workspace file in the cookie.
    """
    if request.websocket:
        in_query = _in_query(request.target, _QUERY)
        return () if in_query is None else (in_query,)
    keys = (bearer_token(request), key_in_workspace_cookie(request))
    return tuple(key for key in keys if key)


def bearer_token(request: RequestHead) -> str | None:
    """The token of `Authorization: Bearer`."""
    scheme, _, token = request.fields.joined.get(b"authorization", b"").partition(b" ")
    return token.strip().decode("latin-1") if scheme.lower() == b"bearer" else None


def key_in_workspace_cookie(request: RequestHead) -> str | None:
    """The key in the cookie, if the agent server accepts it for this request."""
    if b"cookie" not in request.fields.joined or request.method != b"GET" or request.websocket:
        return None
    if not _WORKSPACE.fullmatch(request.target.partition(b"?")[0]):
        return None
    keys = list(_in_cookies(request, WORKSPACE_COOKIE))
    return keys[-1] if keys else None  # the last one counts there, too


def _in_query(target: bytes, name: str) -> str | None:
    query = target.partition(b"?")[2].decode("latin-1")
    values = parse_qs(query).get(name) if query else None
    return values[-1] if values else None  # the last one counts there, too


def _session_keys(request: RequestHead, *, vscode: bool) -> Iterator[str]:
    if in_header := request.fields.joined.get(b"x-session-api-key"):
        yield in_header.decode("latin-1")
    if token := bearer_token(request):
        yield token
    yield from _in_cookies(request, WORKSPACE_COOKIE)
    if vscode:
        yield from _in_cookies(request, _VSCODE_COOKIE)
    if in_query := _in_query(request.target, _QUERY):
        yield in_query
    if vscode and (of_vscode := _in_query(request.target, _VSCODE_QUERY)):
        yield of_vscode


def _in_cookies(request: RequestHead, wanted: bytes) -> Iterator[str]:
    for pair in request.fields.joined.get(b"cookie", b"").replace(b",", b";").split(b";"):
        name, _, value = pair.strip().partition(b"=")
        if name == wanted:
            yield value.decode("latin-1")
