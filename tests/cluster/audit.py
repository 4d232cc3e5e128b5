"""What was asked of the API server, from its audit log."""

from collections.abc import Mapping
from typing import Any

from local_cluster.audit_log import events
from local_cluster.paths import State


class Audit:
    """The audit log from now on, one event for each request."""

    def __init__(self) -> None:
        self._path = State.from_environment().audit_log
        self._offset = self._path.stat().st_size

    def requests(self, name: str) -> list[Mapping[str, Any]]:
        """The requests for objects of this name, in the order of their ends."""
        return [*events(self._path, self._offset, f'"{name}"'.encode())]

    def count(self, name: str, verb: str, resource: str, user: str) -> int:
        """How many succeeded, of a client whose user agent begins with `user`; subresources are not counted."""
        return sum(
            request["verb"] == verb
            and request["objectRef"]["resource"] == resource
            and "subresource" not in request["objectRef"]
            and request["userAgent"].startswith(user)
            and request["responseStatus"]["code"] < 300
            for request in self.requests(name)
        )
