"""The session key in a request, at every place from which the agent server takes one.

The header X-Session-API-Key; `Authorization: Bearer`, of its OpenAI-like routes; the cookie with which browsers read
workspace files; `session_api_key` in the query of its WebSockets (openhands_agent_server 1.58.2). And those from which
VSCode takes it: `tkn` in the query of a link, and the cookie that it then sets (VS Code, `serverConnectionToken.ts`).
"""

from collections.abc import Iterator
from urllib.parse import parse_qs

from sandbox_gateway.directory import Directory, NoSandbox
from sandbox_gateway.proxy.head import RequestHead

_COOKIE = b"oh_workspace_session_key"
_QUERY = "session_api_key"
_VSCODE_COOKIE = b"vscode-tkn"
_VSCODE_QUERY = "tkn"


def presents_key(request: RequestHead, runtime_id: str, directory: Directory, *, vscode: bool = False) -> bool:
    """Whether the request carries the genuine key of this sandbox; with `vscode`, at its places for one, too."""
    return any(directory.opens(key, runtime_id) for key in _session_keys(request, vscode=vscode))


def unknown_key(request: RequestHead, directory: Directory, *, vscode: bool = False) -> str | None:
    """A genuine key that the request carries, whose sandbox is not known here."""
    keys = _session_keys(request, vscode=vscode)
    return next((key for key in keys if directory.find_by_session_key(key) is NoSandbox.UNKNOWN), None)


def key_in_query(target: bytes) -> str | None:
    """The key in the query of a request target."""
    return _in_query(target, _QUERY)


def _in_query(target: bytes, name: str) -> str | None:
    query = target.partition(b"?")[2].decode("latin-1")
    values = parse_qs(query).get(name) if query else None
    return values[-1] if values else None  # the last one counts there, too


def _session_keys(request: RequestHead, *, vscode: bool) -> Iterator[str]:
    fields = request.fields.joined
    if in_header := fields.get(b"x-session-api-key"):
        yield in_header.decode("latin-1")
    scheme, _, token = fields.get(b"authorization", b"").partition(b" ")
    if scheme.lower() == b"bearer":
        yield token.strip().decode("latin-1")
    for pair in fields.get(b"cookie", b"").split(b";"):
        name, _, value = pair.strip().partition(b"=")
        if name == _COOKIE or (vscode and name == _VSCODE_COOKIE):
            yield value.decode("latin-1")
    if in_query := key_in_query(request.target):
        yield in_query
    if vscode and (of_vscode := _in_query(request.target, _VSCODE_QUERY)):
        yield of_vscode
