"""The custom resources as pydantic models: the single source of the CRD manifests."""

from sandbox_crds.models.sandbox import Condition, EnvVar, Loss, Pull, Sandbox, SandboxSpec, SandboxStatus
from sandbox_crds.models.sandbox_class import SandboxClass, SandboxClassSpec
from sandbox_crds.models.sandbox_pool import SandboxPool, SandboxPoolSpec, SandboxPoolStatus

__all__ = [
    "Condition",
    "EnvVar",
    "Loss",
    "Pull",
    "Sandbox",
    "SandboxClass",
    "SandboxClassSpec",
    "SandboxPool",
    "SandboxPoolSpec",
    "SandboxPoolStatus",
    "SandboxSpec",
    "SandboxStatus",
]
