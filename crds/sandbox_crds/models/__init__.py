"""The custom resources as pydantic models: the single source of the CRD manifests."""

from sandbox_crds.models.sandbox import Condition, EnvVar, Launch, Loss, Pull, Sandbox, SandboxSpec, SandboxStatus
from sandbox_crds.models.sandbox_class import SandboxClass, SandboxClassSpec
from sandbox_crds.models.sandbox_images import (
    ImageFailure,
    NodeImages,
    SandboxImages,
    SandboxImagesSpec,
    SandboxImagesStatus,
)
from sandbox_crds.models.sandbox_pool import SandboxPool, SandboxPoolSpec, SandboxPoolStatus
from sandbox_crds.models.sandbox_usage import SandboxUsage, SandboxUsageSpec, SandboxUsageStatus, UsageAmounts

__all__ = [
    "Condition",
    "EnvVar",
    "ImageFailure",
    "Launch",
    "Loss",
    "NodeImages",
    "Pull",
    "Sandbox",
    "SandboxClass",
    "SandboxClassSpec",
    "SandboxImages",
    "SandboxImagesSpec",
    "SandboxImagesStatus",
    "SandboxPool",
    "SandboxPoolSpec",
    "SandboxPoolStatus",
    "SandboxSpec",
    "SandboxStatus",
    "SandboxUsage",
    "SandboxUsageSpec",
    "SandboxUsageStatus",
    "UsageAmounts",
]
