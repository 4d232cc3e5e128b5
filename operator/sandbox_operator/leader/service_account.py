"""The service account with which a candidate connects to the API server.

Helm deletes a release's RoleBinding and service account before its pods have ended, so their leader can no longer
release the Lease. It cannot write anything else either: a token is invalid once its service account is deleted, even if
a new one has the same name. Therefore the Lease names the service account of its holder. If that account has been
replaced, the Lease is free.
"""

from dataclasses import dataclass
from typing import Final

from sandbox_common.kube import ApiError, KubeClient
from sandbox_common.kube.resources import Resource

_REVIEWS: Final = Resource("authentication.k8s.io", "v1", "selfsubjectreviews", "SelfSubjectReview", namespaced=False)
_NONE_TO_ASK: Final = frozenset({403, 404})
"""The server does not have this resource, or does not let this process use it."""


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """A user of the API server. `uid` is "" if it is unknown or the user is not an object."""

    name: str = ""
    uid: str = ""

    def replaces(self, other: "ServiceAccount") -> bool:
        """Whether this account has the other one's name but another UID, so that the other one was deleted."""
        return bool(self.uid and other.uid) and self.name == other.name and self.uid != other.uid


async def own_service_account(client: KubeClient) -> ServiceAccount:
    """Ask the API server which user this client is. The server stores nothing for it. Raises ApiError."""
    body = {"apiVersion": _REVIEWS.api_version, "kind": _REVIEWS.kind}
    try:
        user = (await client.create(_REVIEWS, "", body))["status"]["userInfo"]
    except ApiError as error:
        if error.code not in _NONE_TO_ASK:
            raise
        return ServiceAccount()
    return ServiceAccount(user.get("username") or "", user.get("uid") or "")
