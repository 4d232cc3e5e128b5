"""The pull Secrets with which an owner's images are pulled, read when they are needed."""

import base64
from collections.abc import Sequence

import structlog

from sandbox_common.kube import FAILURES, KubeClient, KubeObject
from sandbox_common.kube.resources import SECRETS
from sandbox_common.pull_secrets import MOST, OF_TYPE, of_owner
from sandbox_gateway.sandboxes.classes import SandboxClasses

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class PullSecrets:
    """Reads those of one namespace."""

    def __init__(self, client: KubeClient, namespace: str, classes: SandboxClasses) -> None:
        self._client = client
        self._namespace = namespace
        self._classes = classes

    async def read(self, owner: str, class_name: str) -> Sequence[bytes] | None:
        """`.dockerconfigjson` of the Secrets that a pod of this owner and class has; None if they cannot be read."""
        names = self._classes.spec(class_name).pod.image_pull_secrets
        selectors = [{"fieldSelector": f"{OF_TYPE},metadata.name={name}"} for name in names]
        selectors.append({"fieldSelector": OF_TYPE, "labelSelector": of_owner(owner), "limit": str(MOST)})
        try:
            lists = [await self._client.list(SECRETS, self._namespace, **selector) for selector in selectors]
        except FAILURES as error:
            _log.warning("pull secrets not read", error=str(error) or type(error).__name__)
            return None
        return [content for found in lists for secret in found["items"] for content in _content(secret)]


def _content(secret: KubeObject) -> Sequence[bytes]:
    data: dict[str, str] = secret.get("data") or {}
    try:
        return [base64.b64decode(data.get(".dockerconfigjson", ""), validate=True)]
    except ValueError:
        return []
