"""Names of everything a sandbox consists of. Pure, so that each process derives the same ones without asking."""

import base64
import hashlib
import re
from functools import lru_cache

SANDBOX_NAME = "^[a-z]([-a-z0-9]{0,48}[a-z0-9])?$"
"""Pattern of a Sandbox's name: a DNS label with room for a service's prefix, so that it can be a host name."""

SERVICES = ("vscode", "work-1", "work-2")
"""What a sandbox serves beside its agent server, at the host `{service}-{name}` (openhands_ai 1.11.0)."""

SERVICE_PREFIX = f"^({'|'.join(SERVICES)})-"
"""What no Sandbox's name begins with: its host would be that of another one's service."""

_SERVICE_PREFIX = re.compile(SERVICE_PREFIX)


def _digest(text: bytes, length: int) -> str:
    return base64.b32encode(hashlib.sha256(text).digest()).decode().lower()[:length]


def is_sandbox_name(text: str) -> bool:
    """Whether a Sandbox can have this name; only then may it become part of a URL path."""
    return re.fullmatch(SANDBOX_NAME, text) is not None and _SERVICE_PREFIX.match(text) is None


def service_of(label: str) -> tuple[str, str] | None:
    """Service and Sandbox of a host's first label (lower case); None if it begins with no service."""
    match = _SERVICE_PREFIX.match(label)
    return (match[1], label[match.end() :]) if match else None


def runtime_id(owner: str, session_id: str) -> str:
    """Name of the Sandbox of one client session, which is also its runtime id: a DNS label of 27 characters.

    The same session of the same owner always has the same name, so creating it twice collides in the API server
    instead of making two. The owner's length is hashed too, so that no two pairs run together.
    """
    text = f"{len(owner)}:{owner}{session_id}".encode(errors="surrogatepass")
    return f"sb-{_digest(text, 24)}"


@lru_cache(256)
def pod_name(sandbox: str, uid: str) -> str:
    """Name of the pod, its keys' Secret and its volume claim.

    It depends on the Sandbox's UID: a new Sandbox of an old name never meets the old one's pod.
    """
    return f"{sandbox}-{_digest(uid.encode(), 8)}"


def environment_secret_name(sandbox: str, uid: str, revision: str = "") -> str:
    """Name of the Secret with the environment that a client sent; each later environment has a `revision` of its own.

    A kubelet keeps what it has read of a Secret, so another environment needs another name.
    """
    return f"{pod_name(sandbox, uid)}-env{f'-{revision}' if revision else ''}"
