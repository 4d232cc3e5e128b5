"""What the data plane asks about sandboxes and API keys: a seam, so that routing knows nothing of Kubernetes."""

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from sandbox_gateway.contract.retry import Passing


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One sandbox as the data plane sees it.

    `address` is (IP, port) of its agent server, or None while the sandbox exists but cannot be reached
    (starting, paused, failed); `detail` then says so, in words for everybody, and `cause` why, for who has its key: the
    words may be those of what runs in it. `passing` is set if it may become reachable by itself. `wakes` and
    `wakes_on_websocket` say whether a request and a WebSocket handshake with its key are held until it is awake.
    `owner` is whose it is; all that have none count as one owner's.
    """

    runtime_id: str
    address: tuple[str, int] | None
    detail: str = ""
    cause: str = ""
    wakes: bool = False
    wakes_on_websocket: bool = False
    passing: Passing | None = None
    owner: str = ""


@dataclass(frozen=True, slots=True)
class Service:
    """A service of a sandbox: VSCode (`vscode`), or what its programs serve (`work-1`, `work-2`).

    `endpoint` is the sandbox with this service's address in place of its agent server's; None when there is no such
    sandbox, or it declares no port for the service: then `detail` says which, and what to do.
    """

    name: str
    endpoint: Endpoint | None
    detail: str = ""


class NoSandbox(Enum):
    """Why a session key opens no sandbox."""

    NOT_GENUINE = "not genuine"
    """This gateway's keys were never of this form: a wrong key."""
    GONE = "gone"
    """The key is genuine, but its sandbox has been deleted."""
    UNKNOWN = "unknown"
    """The key is genuine, but its sandbox is not known here: another replica may have started it just now."""


class Directory(Protocol):
    """Answers from memory; never blocks (but for `await_sandbox`), never raises."""

    def find_by_session_key(self, session_api_key: str) -> Endpoint | NoSandbox:
        """The sandbox that this key opens, or why there is none."""
        ...

    async def await_sandbox(self, session_api_key: str) -> None:
        """Return when the sandbox of a key that is UNKNOWN is known, or when waiting for that has become useless.

        Many may wait for one sandbox; who is cancelled does not disturb the others.
        """
        ...

    def find_by_runtime_id(self, runtime_id: str) -> Endpoint | None:
        """The sandbox of this name (lower case), or None when there is none."""
        ...

    def find_service(self, label: str) -> Service | None:
        """The service that the first label of a host (lower case) names; None when it names none."""
        ...

    def opens(self, session_api_key: str, runtime_id: str) -> bool:
        """Whether this is the genuine key of the sandbox of this name."""
        ...

    def owner_of_api_key(self, api_key: str) -> str | None:
        """Whose key this text is, which may be empty; None if it does not open the Runtime API."""
        ...
