"""The paths of the console, and which of its requests the audit log has."""

from sandbox_gateway.runtime_api.paths import verbs

ROOT = "/console"
SIGN_IN = f"{ROOT}/sign-in"
STATIC = f"{ROOT}/static"

AUDITED: dict[str, str] = {
    SIGN_IN: "sign_in",
    f"{ROOT}/sign-out": "sign_out",
    # The same verbs as those of the calls that show or do the same.
    f"{ROOT}/sandboxes": "list",
    f"{ROOT}/sandboxes/updates": "list",
    f"{ROOT}/sandboxes/{{runtime_id}}": "explain",
    f"{ROOT}/sandboxes/{{runtime_id}}/updates": "explain",
    f"{ROOT}/sandboxes/{{runtime_id}}/log": "logs",
    f"{ROOT}/sandboxes/{{runtime_id}}/pause": "pause",
    f"{ROOT}/sandboxes/{{runtime_id}}/resume": "resume",
    f"{ROOT}/sandboxes/{{runtime_id}}/stop": "stop",
    f"{ROOT}/pools": "warm_runtime_configs",
    f"{ROOT}/usage": "usage",
}
"""The verb in the audit log, in the order of the routes."""
NOT_AUDITED = frozenset(
    {
        # They lead elsewhere, and show nothing of a cluster.
        ROOT,
        f"{ROOT}/",
        f"{STATIC}/{{name}}",
    }
)
"""All other paths."""

verb_of = verbs(AUDITED)
