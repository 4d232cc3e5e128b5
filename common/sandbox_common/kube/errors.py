"""What the API server refuses, and what else keeps a call from being carried out."""

import aiohttp

_NO_RIGHT = ' is forbidden: User "'
_OVER_QUOTA = "exceeded quota"


class ApiError(Exception):
    """The API server's refusal: `code` is the HTTP status, `reason` and `message` are those of its Status object.

    `uncertain`: an earlier attempt of the same call may have been carried out, without an answer that says so.
    """

    def __init__(self, code: int, reason: str, message: str, retry_after: float | None = None) -> None:
        super().__init__(f"{code} {reason}: {message}")
        self.code = code
        self.reason = reason
        self.message = message
        self.retry_after = retry_after
        self.uncertain = False

    @property
    def lacks_right(self) -> bool:
        """Whether no Role allows the request. Any other 403 is of admission: a policy, or a quota.

        The wording is that of the authorization filter of k8s.io/apiserver.
        """
        return self.code == 403 and _NO_RIGHT in self.message

    @property
    def over_quota(self) -> bool:
        """Whether a ResourceQuota leaves no room. The wording is that of its admission plugin."""
        return self.code == 403 and _OVER_QUOTA in self.message


FAILURES = (ApiError, aiohttp.ClientError, OSError)
"""What calls of KubeClient raise: refusals, and what comes of an API server that is not reached."""
