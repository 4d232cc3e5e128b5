"""The agent server's environment: the part from Secrets and the part in the pod's spec.

Later sources override earlier ones: the sandbox's own Secret (defaults of operator and class), the Secret with the
client's environment, then the pod's `env`. So the client overrides defaults, and the operator overrides the client.
"""

from collections.abc import Sequence
from typing import Any

from sandbox_common import service_ports
from sandbox_common.environment import SECRET_KEY, SESSION_KEY, is_reserved
from sandbox_crds.models import EnvVar, Sandbox, SandboxClass
from sandbox_crds.names import environment_secret_name
from sandbox_operator.builders.volume import would_lose_workspace
from sandbox_operator.watching.pods import Pod

OLD_SESSION_KEY = "SESSION_API_KEY"
"""The same key under its earlier name. The OpenHands app uses it in OH_LLM_API_KEY_REFRESH_HEADERS, as
`${SESSION_API_KEY}`, which the agent server expands (openhands_agent_server 1.58.2, managed_llm_key.py)."""
IDLE_TIMEOUT = "OH_RUNTIME_IDLE_TIMEOUT_SECONDS"
"""The agent server ends foreground commands before they would lead to its suspension, and informs its clients."""
HOME = "/home/openhands"
WORKSPACE = "/workspace"

_STATE = {
    # Everything that must outlive the pod is on the workspace's volume. The agent server's own defaults are elsewhere
    # (openhands_agent_server 1.58.2, config.py).
    "OH_CONVERSATIONS_PATH": f"{WORKSPACE}/conversations",
    "OH_BASH_EVENTS_DIR": f"{WORKSPACE}/bash_events",
    "OH_PERSISTENCE_DIR": f"{WORKSPACE}/.openhands",
    "OH_CONVERSATION_WORKTREE_ROOT": f"{WORKSPACE}/.worktrees",
}


CA_DIRECTORY, CA_FILE = "/etc/openhands-ca", "ca.crt"
"""Independent of the entry's name in the ConfigMap, because variables of a sandbox outlive a change of its class."""
_CA_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "NODE_EXTRA_CA_CERTS")
"""OpenSSL and Python, requests, curl, git and Node.js."""


def idle_timeout(sandbox: Sandbox, class_: SandboxClass | None, pod: Pod | None = None) -> int:
    """Seconds of inactivity before the sandbox is suspended; 0: never.

    Its own value overrides its class's. For a sandbox with an owner, the class's value is also the maximum. Neither
    applies if the suspension would lose the workspace of this pod, or of the next one if there is none.
    """
    if would_lose_workspace(class_, pod):
        return 0
    own, of_class = sandbox.spec.idle_timeout_seconds, class_.spec.idle_timeout_seconds if class_ else 0
    if own is None:
        return of_class
    if sandbox.spec.owner and of_class:
        return min(own or of_class, of_class)
    return own


def has_home_volume(class_: SandboxClass) -> bool:
    """Whether the home directory is a directory of the pod. One of any image belongs to a user of that image's."""
    pod = class_.spec.pod
    return pod.read_only_root_filesystem or (class_.spec.agent_server is not None and not pod.omit_ids)


def defaults(class_: SandboxClass) -> dict[str, str]:
    """Literal values that a client's environment may override."""
    ports = {
        service_ports.VARIABLES[service]: str(port) for service, port in service_ports.of_class(class_.spec).items()
    }
    bundle = dict.fromkeys(_CA_VARIABLES, f"{CA_DIRECTORY}/{CA_FILE}") if class_.spec.pod.ca_bundle else {}
    of_class = {entry.name: entry.value or "" for entry in class_.spec.env if entry.value_from is None}
    # A user of the image's own has a home of its own there.
    home = {} if class_.spec.agent_server and not has_home_volume(class_) else {"HOME": HOME}
    return {
        **home,
        **_STATE,
        **ports,
        **bundle,
        **{name: value for name, value in of_class.items() if not is_reserved(name)},
    }


def sources(sandbox: Sandbox, secret: str) -> list[dict[str, Any]]:
    """The container's `envFrom`. `secret` is the name of the Secret with its keys."""
    names = [secret]
    if sandbox.spec.environment_hash:
        metadata, revision = sandbox.metadata, sandbox.spec.environment_revision
        names.append(environment_secret_name(metadata.name, metadata.uid, revision))
    return [{"secretRef": {"name": name}} for name in names]


def variables(sandbox: Sandbox, class_: SandboxClass, secret: str) -> list[dict[str, Any]]:
    """The container's `env`: the operator's own names, the class's references, the Sandbox's `spec.env`.

    A class's references are here because a Secret cannot contain them. They override a client's environment.
    """
    operator = [
        _of_secret(SESSION_KEY, secret, SESSION_KEY),
        _of_secret(OLD_SESSION_KEY, secret, SESSION_KEY),
        _of_secret(SECRET_KEY, secret, SECRET_KEY),
        # Only one pod has the workspace, so no other agent server can hold a conversation's lease. Otherwise the agent
        # server would wait 45 s for a killed predecessor (openhands_agent_server 1.58.2, conversation_lease.py).
        {"name": "OH_LEASE_TTL_SECONDS", "value": "0"},
    ]
    own = {entry.name for entry in sandbox.spec.env}
    timeout = idle_timeout(sandbox, class_)
    if timeout and IDLE_TIMEOUT not in {*own, *(entry.name for entry in class_.spec.env)}:
        # Not a default: defaults stay as they were when the sandbox was made, but the timeout may change.
        operator.append({"name": IDLE_TIMEOUT, "value": str(timeout)})
    references = [entry for entry in class_.spec.env if entry.value_from is not None and entry.name not in own]
    return [*operator, *_entries(references), *_entries(sandbox.spec.env)]


def _of_secret(variable: str, secret: str, key: str) -> dict[str, Any]:
    return {"name": variable, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}


def _entries(env: Sequence[EnvVar]) -> list[dict[str, Any]]:
    return [entry.model_dump(by_alias=True, exclude_none=True) for entry in env if not is_reserved(entry.name)]
