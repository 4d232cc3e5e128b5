"""Names of the objects of a sandbox. Pure, so that each process derives the same names."""

import base64
import hashlib
import hmac
import re
from functools import lru_cache

SANDBOX_NAME = "^[a-z]([-a-z0-9]{0,48}[a-z0-9])?$"
"""Pattern of a Sandbox's name: a DNS label with room for a service's prefix, because it becomes a host name."""

SERVICES = ("vscode", "work-1", "work-2")
"""Services of a sandbox besides its agent server, at the host `{service}-{name}` (openhands_ai 1.11.0)."""

SERVICE_PREFIX = f"^({'|'.join(SERVICES)})-"
"""No Sandbox's name may begin like this, because its host would be that of another sandbox's service."""

CONTAINER = "agent-server"
"""Name of the agent server's container in a sandbox's pod. Others may have been injected."""

_LABEL = re.compile("[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_POD_NAME = re.compile("[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_HASHED = "sha256-"

_SERVICE_PREFIX = re.compile(SERVICE_PREFIX)


def _digest(text: bytes, length: int) -> str:
    return _letters(hashlib.sha256(text).digest(), length)


def _letters(digest: bytes, length: int) -> str:
    return base64.b32encode(digest).decode().lower()[:length]


def is_sandbox_name(text: str) -> bool:
    """Whether a Sandbox can have this name. Only then may it become part of a URL path."""
    return re.fullmatch(SANDBOX_NAME, text) is not None and _SERVICE_PREFIX.match(text) is None


def service_of(label: str) -> tuple[str, str] | None:
    """Service and Sandbox of a host's first label (lower case); None if it does not begin with a service."""
    match = _SERVICE_PREFIX.match(label)
    return (match[1], label[match.end() :]) if match else None


def runtime_id(owner: str, session_id: str, key: bytes) -> str:
    """Name of the Sandbox of a client's session, which is also its runtime id: a DNS label of 27 characters.

    A session of an owner always has the same name, so two creations collide in the API server instead of making two
    sandboxes. Without the key, nobody can compute the name from a guess of owner and session id.
    """
    return f"sb-{_letters(hmac.digest(key, _session(owner, session_id), 'sha256'), 24)}"


def unkeyed_runtime_id(owner: str, session_id: str) -> str:
    """The name that a Sandbox had before there was a naming key, and has where there is none."""
    return f"sb-{_digest(_session(owner, session_id), 24)}"


def _session(owner: str, session_id: str) -> bytes:
    # With the owner's length, different pairs give different texts.
    return f"{len(owner)}:{owner}{session_id}".encode(errors="surrogatepass")


def owner_label(owner: str) -> str:
    """The value of a label that names an owner: the owner itself where it can be one, else `sha256-` and 40 hex digits.

    No two owners have the same one: an owner that looks like a hash is hashed, too.
    """
    if _LABEL.fullmatch(owner) and not owner.startswith(_HASHED):
        return owner
    return f"{_HASHED}{hashlib.sha256(owner.encode(errors='surrogatepass')).hexdigest()[:40]}"


def usage_name(owner: str) -> str:
    """Name of the SandboxUsage of an owner. Sandboxes without an owner count together, for the owner ""."""
    return f"usage-{_digest(owner.encode(errors='surrogatepass'), 24)}"


def is_pod_name(text: str) -> bool:
    """Whether a pod can have this name. Only then may it become part of a URL path."""
    return _POD_NAME.fullmatch(text) is not None


@lru_cache(256)
def pod_name(sandbox: str, uid: str) -> str:
    """Name of the pod, its keys' Secret and its volume claim, unless the claim came with a warm pod.

    It depends on the Sandbox's UID, so a new Sandbox with an old name never gets the old one's pod.
    """
    return f"{sandbox}-{_digest(uid.encode(), 8)}"


def environment_secret_name(sandbox: str, uid: str, revision: str = "") -> str:
    """Name of the Secret with the environment that a client sent. Each later environment has its own `revision`.

    A kubelet caches Secrets, so another environment needs another name.
    """
    return f"{pod_name(sandbox, uid)}-env{f'-{revision}' if revision else ''}"
