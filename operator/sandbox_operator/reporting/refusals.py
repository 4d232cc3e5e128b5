"""Requests that the API server will refuse again, unless something changes."""

from dataclasses import dataclass

from sandbox_common.kube import ApiError
from sandbox_common.reasons import Reason

_REFUSALS = frozenset({400, 403, 413, 422})
"""Status codes that the same request gets again."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the API server refused an object."""

    reason: Reason
    message: str


def refusal_of(error: ApiError) -> Refusal | None:
    """The refusal in this error; None if the same request may succeed later."""
    if error.code not in _REFUSALS:
        return None
    return Refusal(Reason.QUOTA_EXCEEDED if error.over_quota else Reason.POD_REFUSED, error.message)
