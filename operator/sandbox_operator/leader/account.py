"""The service account that a candidate acts by.

Helm deletes a release's RoleBinding and service account before its pods have ended, so their leader can no longer give
the Lease back. It can write nothing else either: a token opens nothing once its service account is gone, also when
there is a new one of the same name. So the Lease says whose account its holder acts by, and a holder whose account has
been replaced holds nothing.
"""

from dataclasses import dataclass
from typing import Final

from sandbox_common.kube import ApiError, KubeClient
from sandbox_common.kube.resources import Resource

_REVIEWS: Final = Resource("authentication.k8s.io", "v1", "selfsubjectreviews", "SelfSubjectReview", namespaced=False)
_NONE_TO_ASK: Final = frozenset({403, 404})
"""A server without this resource, or one that lets nobody ask."""


@dataclass(frozen=True, slots=True)
class Account:
    """A user of the API server. `uid` is "" if it is not known, or no object."""

    name: str = ""
    uid: str = ""

    def replaces(self, other: "Account") -> bool:
        """Whether the other one has been deleted, since this one has its name."""
        return bool(self.uid and other.uid) and self.name == other.name and self.uid != other.uid


async def own_account(client: KubeClient) -> Account:
    """Whose credentials this client has; nothing is written for it. Raises ApiError."""
    body = {"apiVersion": _REVIEWS.api_version, "kind": _REVIEWS.kind}
    try:
        user = (await client.create(_REVIEWS, "", body))["status"]["userInfo"]
    except ApiError as error:
        if error.code not in _NONE_TO_ASK:
            raise
        return Account()
    return Account(user.get("username") or "", user.get("uid") or "")
