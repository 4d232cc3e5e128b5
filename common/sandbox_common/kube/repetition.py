"""Decides which failures of a request may pass, and when the request is sent again.

Every request may be sent twice, because each write identifies its target. A create has a fixed name, so the second one
gets 409 `AlreadyExists`. A deletion names a UID. A merge patch of fields that others change, too, has a
resourceVersion, so the second one gets 409 and undoes nothing. A JSON patch whose `test` fails gets 422. Callers then
read the object, as they do if another process was faster.
"""

import aiohttp

from sandbox_common.backoff import backoff
from sandbox_common.kube.errors import ApiError

OVERLOADED = frozenset({429, 500, 502, 503, 504})
"""Status codes after which the same request may succeed."""

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 1.0
_RIGHTS_SECONDS = 1.5
"""A kube-apiserver that has just started knows no Roles for about 0.1 s, and refuses what they allow."""
_LONGEST_WAIT = 30.0
"""Upper bound of a server's Retry-After."""

_MAY_BE_CARRIED_OUT = OVERLOADED - {429}
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
    """Seconds of a Retry-After header, limited; None if it has another form."""
    return min(float(header), _LONGEST_WAIT) if header.isascii() and header.isdigit() else None


class Repetition:
    """The attempts of one call that began at `now`. The last one begins at most `patience` seconds later."""

    def __init__(self, patience: float, now: float) -> None:
        self._began = now
        self._patience = patience
        self._attempts = 0
        self.uncertain = False
        """Whether an attempt may have succeeded, although no answer says so."""

    def pause(self, failure: Exception, now: float) -> float | None:
        """Seconds until the next attempt after this failure; None if another attempt is of no use."""
        self._attempts += 1
        seconds = self._seconds(failure)
        pause = backoff(self._attempts, FIRST_PAUSE, LONGEST_PAUSE)
        if isinstance(failure, ApiError):
            pause = max(pause, failure.retry_after or 0.0)
            carried_out = failure.code in _MAY_BE_CARRIED_OUT
        else:
            carried_out = isinstance(failure, (*_BROKEN, TimeoutError)) and not isinstance(failure, _NOT_SENT)
        self.uncertain |= carried_out
        return None if now + pause > self._began + seconds else pause

    def _seconds(self, failure: Exception) -> float:
        """Seconds for which a call with this failure is retried."""
        if isinstance(failure, ApiError):
            if failure.code == 401 or failure.lacks_right:
                return min(_RIGHTS_SECONDS, self._patience)
            return self._patience if failure.code in OVERLOADED else 0.0
        passes = isinstance(failure, _BROKEN) and not isinstance(failure, _WRONG_ADDRESS)
        return self._patience if passes else 0.0
