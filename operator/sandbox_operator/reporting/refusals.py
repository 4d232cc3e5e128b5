"""What the API server refuses for good, as things are now."""

from dataclasses import dataclass

from sandbox_common.kube import ApiError
from sandbox_common.reasons import Reason

_REFUSALS = frozenset({400, 403, 413, 422})
"""Status codes that the same request would get again."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the API server did not make one of the objects."""

    reason: Reason
    message: str


def refusal_of(error: ApiError) -> Refusal | None:
    """What the API server refuses for good, as it is now; None for what may just be tried again."""
    if error.code not in _REFUSALS:
        return None
    return Refusal(Reason.QUOTA_EXCEEDED if error.over_quota else Reason.POD_REFUSED, error.message)
