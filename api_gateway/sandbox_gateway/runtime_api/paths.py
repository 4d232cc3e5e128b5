"""The paths of the Runtime API, and which of their calls the audit log has."""

from collections.abc import Callable, Mapping

from starlette.convertors import Convertor, register_url_convertor
from starlette.routing import compile_path


class _Anything(Convertor[str]):
    """The rest of a path; Starlette's own `path` stops at a newline."""

    regex = r"[\s\S]*"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("anything", _Anything())

AUDITED: dict[str, str] = {
    # They change sandboxes.
    "/start": "start",
    "/pause": "pause",
    "/resume": "resume",
    "/stop": "stop",
    # Their answers have session keys.
    "/sessions/batch": "batch",
    "/sessions/{session_id:anything}": "session",
    "/runtime/{runtime_id}": "runtime",
    "/list": "list",
    # The states of all sandboxes.
    "/events": "events",
    # Log lines, Events, usage, what a registry says to the cluster's own credentials, environments of pools.
    "/explain/{runtime_id}": "explain",
    "/logs/{runtime_id}": "logs",
    "/history/{runtime_id}": "history",
    "/pools": "pools",
    "/limits": "limits",
    "/usage": "usage",
    "/image_exists": "image_exists",
    "/api/warm-runtime-configs": "warm_runtime_configs",
    # Always refused; but it is worth knowing who tries to administer.
    "/api/keys": "admin",
    "/api/keys/{path:anything}": "admin",
    "/api/admin/{path:anything}": "admin",
}
"""The verb in the audit log of the calls of each path that change or reveal something, in the order of the routes."""
NOT_AUDITED = frozenset(
    {
        # The same setting for all clients.
        "/registry_prefix",
        # Not offered: they change and reveal nothing.
        "/build",
        "/build_status",
        # The description of the API, which needs no key.
        "/openapi.json",
        "/docs",
        "/docs/start.js",
        "/docs/swagger-ui.css",
        "/docs/swagger-ui-bundle.js",
    }
)
"""All other paths."""

type VerbOf = Callable[[str], str | None]
"""Gives the verb of a call of a decoded path, whatever its method; None if it is not audited."""


def verbs(audited: Mapping[str, str]) -> VerbOf:
    """According to a table like `AUDITED`."""
    patterns = [(compile_path(path)[0], verb) for path, verb in audited.items()]
    return lambda path: next((verb for pattern, verb in patterns if pattern.match(path)), None)


verb_of = verbs(AUDITED)
