"""When a refused client should try again: the one table behind `Retry-After`.

It does not have the causes that stay: a wrong key, a sandbox that is gone, paused by request or failed, a missing
permission. The refusal of a used-up rate has the exact number of seconds instead (runtime_api/gate.py).
"""

from enum import StrEnum
from types import MappingProxyType


class Passing(StrEnum):
    """A cause of refusals that may pass by itself."""

    STARTING = "the sandbox is starting, or Kubernetes is still trying to start it"
    UNREACHABLE = "the sandbox, or the control plane, cannot be reached"
    MOVED = "the sandbox's pod was lost during the request"
    NOT_WOKEN = "the sandbox was not awake in time"
    NOT_KNOWN = "this replica does not know the sandbox yet"
    BEING_DELETED = "the session's old sandbox is still being deleted"
    SERVICE_STARTING = "a service of the sandbox may still be starting"
    TOO_MANY_HELD = "too many requests are waiting for sandboxes"
    TOO_MANY_BODIES = "too many large bodies are being read"
    TOO_MANY_CONNECTIONS = "the process has too many connections open"
    API_SERVER = "the Kubernetes API server is overloaded or unreachable"
    ENDING = "this replica is about to end"
    TOO_MANY_STREAMS = "the owner, or the process, has too many streams open"
    TOO_MANY_OF_SANDBOX = "the sandbox has too many requests or WebSockets in progress"
    TOO_MANY_OF_OWNER = "the owner uses its whole share of the process's connections"
    LIMIT = "the API key's owner has reached a limit"
    QUOTA = "the namespace's ResourceQuota leaves no room"
    NAMESPACE = "the service's namespace is being deleted"


RETRY = MappingProxyType(
    {
        Passing.STARTING: (503, 2),
        Passing.UNREACHABLE: (503, 5),
        Passing.MOVED: (503, 5),
        Passing.NOT_WOKEN: (503, 5),
        Passing.NOT_KNOWN: (503, 1),
        Passing.BEING_DELETED: (503, 5),
        Passing.SERVICE_STARTING: (503, 5),
        Passing.TOO_MANY_HELD: (503, 5),
        Passing.TOO_MANY_BODIES: (503, 5),
        Passing.TOO_MANY_CONNECTIONS: (503, 5),
        Passing.API_SERVER: (503, 5),
        Passing.ENDING: (503, 1),
        Passing.TOO_MANY_STREAMS: (429, 5),
        Passing.TOO_MANY_OF_SANDBOX: (429, 5),
        Passing.TOO_MANY_OF_OWNER: (429, 5),
        Passing.LIMIT: (429, 30),
        Passing.QUOTA: (429, 30),
        Passing.NAMESPACE: (503, 30),
    }
)
"""(status, seconds until the next attempt) of each cause."""
