"""Errors of calls to the API server."""

from collections.abc import Collection

import aiohttp

_NO_RIGHT = ' is forbidden: User "'
_OVER_QUOTA = "exceeded quota"
_NAMESPACE_ENDS = "NamespaceTerminating"
"""A cause (k8s.io/api/core/v1)."""


class ApiError(Exception):
    """A refusal by the API server. `code` is the HTTP status; the others are from its Status object.

    `uncertain`: an attempt of the same call may have succeeded, although its answer was lost.
    """

    def __init__(
        self, code: int, reason: str, message: str, retry_after: float | None = None, causes: Collection[str] = ()
    ) -> None:
        super().__init__(f"{code} {reason}: {message}")
        self.code = code
        self.reason = reason
        self.message = message
        self.retry_after = retry_after
        self.causes = causes
        self.uncertain = False

    @property
    def lacks_right(self) -> bool:
        """Whether no Role allows the request. Any other 403 comes from admission, such as a policy or a quota.

        Recognized by the wording of the authorization filter of k8s.io/apiserver.
        """
        return self.code == 403 and _NO_RIGHT in self.message

    @property
    def over_quota(self) -> bool:
        """Whether a ResourceQuota leaves no room. Recognized by the wording of its admission plugin."""
        return self.code == 403 and _OVER_QUOTA in self.message

    @property
    def namespace_ends(self) -> bool:
        """Whether the namespace is being deleted."""
        return _NAMESPACE_ENDS in self.causes


FAILURES = (ApiError, aiohttp.ClientError, OSError)
"""What calls of KubeClient raise: refusals, and errors of connections."""

UNCERTAIN = "An attempt of this call may have succeeded, although its answer was lost."
"""A note on such an error of a connection."""


def may_have_succeeded(failure: Exception) -> bool:
    """Whether the API server may have carried out a call that raised one of FAILURES."""
    return failure.uncertain if isinstance(failure, ApiError) else UNCERTAIN in getattr(failure, "__notes__", ())
