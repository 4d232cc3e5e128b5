"""Lists that are older than what has been seen already, as a replica of the API server that lags may answer."""

_REFUSED = 10
"""After so many in a row the API server means it, as when etcd has been restored from an older state."""


class OldListError(ValueError):
    """The list is older than what is known already: it is to be asked for again."""

    def __init__(self, version: int, known: int) -> None:
        super().__init__(f"the list is of resource version {version}, and {known} has been seen")


class OldLists:
    """Refuses the lists of one cache that would lead it back in time, but not for ever."""

    def __init__(self) -> None:
        self._refused = 0

    def check(self, version: int, known: int) -> bool:
        """Whether a list of this resource version is old, and still has to be believed. Raises OldListError."""
        if version >= known:
            self._refused = 0
            return False
        if self._refused < _REFUSED:
            self._refused += 1
            raise OldListError(version, known)
        return True
