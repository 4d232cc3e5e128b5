"""The project's Kubernetes client, with plain dicts, and a cache that follows a list."""

from sandbox_common.kube.client import KubeClient, KubeObject
from sandbox_common.kube.errors import FAILURES, ApiError
from sandbox_common.kube.informer import Informer
from sandbox_common.kube.resources import Resource

__all__ = ["FAILURES", "ApiError", "Informer", "KubeClient", "KubeObject", "Resource"]
