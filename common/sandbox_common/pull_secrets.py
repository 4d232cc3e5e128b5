"""Pull Secrets of owners: Secrets with which images of one owner's sandboxes are pulled."""

from sandbox_crds.api import PULL_SECRET_LABEL
from sandbox_crds.names import owner_label

OF_TYPE = "type=kubernetes.io/dockerconfigjson"
"""Field selector of Secrets with which the kubelet can pull."""
MOST = 32
"""Maximum number for one owner, in alphabetical order. Every pod of the owner's sandboxes has all of them."""


def of_owner(owner: str) -> str:
    """Label selector of this owner's pull Secrets."""
    return f"{PULL_SECRET_LABEL}={owner_label(owner)}"
