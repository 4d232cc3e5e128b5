"""Detects lists that are older than what was seen already, for example from an API server replica that lags."""

_REFUSED = 10
"""After this many in a row, an old list is accepted, because etcd may have been restored from a backup."""


class OldListError(ValueError):
    """The list is older than what is known already. Request it again."""

    def __init__(self, version: int, known: int) -> None:
        super().__init__(f"the list is of resource version {version}, and {known} has been seen")


class OldLists:
    """Refuses lists that would take one cache back in time, but not forever."""

    def __init__(self) -> None:
        self._refused = 0

    def check(self, version: int, known: int) -> bool:
        """Whether a list of this resource version is old but must be accepted. Raises OldListError if it is refused."""
        if version >= known:
            self._refused = 0
            return False
        if self._refused < _REFUSED:
            self._refused += 1
            raise OldListError(version, known)
        return True
