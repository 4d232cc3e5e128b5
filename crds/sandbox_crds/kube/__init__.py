"""Kubernetes as the project uses it: dicts over `kubernetes.aio`'s connection, and a cache that follows a list."""

from sandbox_crds.kube.client import KubeClient, KubeObject
from sandbox_crds.kube.errors import ApiError
from sandbox_crds.kube.informer import Informer
from sandbox_crds.kube.resources import Resource

__all__ = ["ApiError", "Informer", "KubeClient", "KubeObject", "Resource"]
