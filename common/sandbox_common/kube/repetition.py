"""Which failures of a request pass by themselves, and when it is sent again: the one place that decides it.

Every request may be sent twice, since each write names what it means. A create has a fixed name, so a second one is
answered 409 `AlreadyExists`. A deletion names a UID. A merge patch of what others change, too, has a resourceVersion,
so that the second one is answered 409, and undoes nothing that came in between; a JSON patch whose `test` does not hold
any more is answered 422. Callers look then, as they do when another process was faster.
"""

import aiohttp

from sandbox_common.backoff import backoff
from sandbox_common.kube.errors import ApiError

OVERLOADED = frozenset({429, 500, 502, 503, 504})
"""Status codes that the same request need not get again."""

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 1.0
_RIGHTS_SECONDS = 1.5
"""A kube-apiserver that has just been started knows no Roles for some 0.1 s, and forbids all that they allow."""
_LONGEST_WAIT = 30.0
"""A server that asks for more than this is asked again sooner."""

_NOT_CARRIED_OUT = frozenset({401, 403, 429})
_NOT_SENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
_BROKEN = (
    aiohttp.ClientOSError,
    aiohttp.ServerDisconnectedError,
    aiohttp.ClientPayloadError,
    aiohttp.ConnectionTimeoutError,
    ConnectionError,
)
_WRONG_ADDRESS = (aiohttp.ClientSSLError, aiohttp.ClientConnectorCertificateError)


def retry_after(header: str) -> float | None:
    """What a Retry-After in seconds asks for, within bounds; None for anything else."""
    return min(float(header), _LONGEST_WAIT) if header.isascii() and header.isdigit() else None


class Repetition:
    """The attempts of one call that began at `now`; none is begun later than `patience` seconds after that."""

    def __init__(self, patience: float, now: float) -> None:
        self._began = now
        self._patience = patience
        self._attempts = 0
        self.uncertain = False
        """Whether an attempt may have been carried out, though no answer says so."""

    def pause(self, failure: Exception, now: float) -> float | None:
        """Seconds until the next attempt after one that failed like this; None when it is of no use."""
        self._attempts += 1
        seconds = self._seconds(failure)
        pause = backoff(self._attempts, FIRST_PAUSE, LONGEST_PAUSE)
        if isinstance(failure, ApiError):
            pause = max(pause, failure.retry_after or 0.0)
            carried_out = failure.code not in _NOT_CARRIED_OUT
        else:
            carried_out = not isinstance(failure, _NOT_SENT)
        if now + pause > self._began + seconds:
            return None
        self.uncertain |= carried_out
        return pause

    def _seconds(self, failure: Exception) -> float:
        """For how long a call that fails like this is worth another attempt."""
        if isinstance(failure, ApiError):
            if failure.code == 401 or failure.lacks_right:
                return min(_RIGHTS_SECONDS, self._patience)
            return self._patience if failure.code in OVERLOADED else 0.0
        passes = isinstance(failure, _BROKEN) and not isinstance(failure, _WRONG_ADDRESS)
        return self._patience if passes else 0.0
