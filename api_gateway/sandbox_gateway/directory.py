"""What the data plane asks about sandboxes: a seam, so that routing knows nothing of Kubernetes."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One sandbox as the data plane sees it.

    `address` is (IP, port) of its agent server, or None while the sandbox exists but cannot be reached
    (starting, paused, failed); `detail` then says why, in words for the client.
    """

    runtime_id: str
    address: tuple[str, int] | None
    detail: str = ""


class Directory(Protocol):
    """Answers from memory; never blocks, never raises."""

    def find_by_session_key(self, session_api_key: str) -> Endpoint | None:
        """The sandbox that this key opens, or None when the key is not genuine or its sandbox is gone."""
        ...

    def find_by_runtime_id(self, runtime_id: str) -> Endpoint | None:
        """The sandbox of this name (lower case), or None when there is none."""
        ...
