"""What the data plane asks about sandboxes and API keys. The interface keeps Kubernetes out of routing."""

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, Protocol

from sandbox_gateway.contract.retry import Passing


class PodAddress(NamedTuple):
    """Where a server of a pod listens. `pod` and `uid` say whose the address should be; a moment later it can be
    another's."""

    ip: str
    port: int
    pod: str
    uid: str


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One sandbox as the data plane sees it.

    `address` is that of its agent server, or None while the sandbox exists but cannot be reached
    (starting, paused, failed). `detail` then says so, for everybody. `cause` says why, only for clients with its key,
    since it may quote programs of the sandbox. `passing` is set if it may become reachable by itself. `wakes` and
    `wakes_on_websocket` say whether a request and a WebSocket handshake with its key are held until it is awake.
    Sandboxes without an `owner` count as one owner's.
    """

    runtime_id: str
    address: PodAddress | None
    detail: str = ""
    cause: str = ""
    wakes: bool = False
    wakes_on_websocket: bool = False
    passing: Passing | None = None
    owner: str = ""


@dataclass(frozen=True, slots=True)
class Service:
    """A service of a sandbox: VSCode (`vscode`), or a server of its programs (`work-1`, `work-2`).

    `endpoint` is the sandbox with this service's address in place of its agent server's; None when there is no such
    sandbox, or it declares no port for the service. Then `detail` says which of these, and the remedy.
    """

    name: str
    endpoint: Endpoint | None
    detail: str = ""


class NoSandbox(Enum):
    """Why a session key opens no sandbox."""

    NOT_GENUINE = "not genuine"
    """A wrong key: this gateway never makes keys of this form."""
    GONE = "gone"
    """The key is genuine, but its sandbox has been deleted."""
    UNKNOWN = "unknown"
    """The key is genuine, but this replica does not know its sandbox. Another replica may have just started it."""


class Directory(Protocol):
    """Answers from memory; never blocks (but for `await_sandbox`), never raises."""

    def find_by_session_key(self, session_api_key: str) -> Endpoint | NoSandbox:
        """The sandbox of this key, or why there is none."""
        ...

    async def await_sandbox(self, session_api_key: str) -> None:
        """Return when the sandbox of an UNKNOWN key is known, or when it is useless to wait longer.

        Many may wait for one sandbox. Cancelling one of them does not affect the others.
        """
        ...

    def find_by_runtime_id(self, runtime_id: str) -> Endpoint | None:
        """The sandbox of this name (lower case), or None when there is none."""
        ...

    def find_service(self, label: str) -> Service | None:
        """The service of this first label of a host (lower case); None when it is no service's."""
        ...

    def opens(self, session_api_key: str, runtime_id: str) -> bool:
        """Whether this is the genuine key of the sandbox of this name."""
        ...

    def owner_of_api_key(self, api_key: str) -> str | None:
        """The owner of the API key with this text, which may be empty; None if there is no such key."""
        ...
