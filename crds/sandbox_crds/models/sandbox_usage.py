"""`SandboxUsage`: what the sandboxes of one owner have used, by day and class. The operator writes it, as a record."""

from typing import Annotated

from pydantic import Field

from sandbox_crds.models.base import Metadata, Model

MOST = 2**53
"""Bound of each amount, which JSON carries exactly."""
DAYS_KEPT = 62
"""Days for which amounts are kept, today included: a whole month can be read until the end of the next one."""
MOST_CLASSES = 16
"""Rows of one day. The last one is for all further classes together."""
OTHER_CLASSES = "*"
"""Name of that row, which no SandboxClass can have."""

Amount = Annotated[int, Field(ge=0, le=MOST)]


class UsageAmounts(Model):
    """Whole numbers. What was requested is multiplied by the seconds for which it was requested."""

    running_seconds: Amount = Field(default=0, description="Seconds in which sandboxes had a pod on a node.")
    suspended_seconds: Amount = Field(default=0, description="Seconds in which sandboxes were suspended.")
    cpu_millicore_seconds: Amount = Field(default=0, description="CPU requests of these pods.")
    memory_mebibyte_seconds: Amount = Field(default=0, description="Memory requests of these pods.")
    storage_mebibyte_seconds: Amount = Field(
        default=0, description="Sizes of the workspace volumes, also while their sandboxes are suspended."
    )
    cold_starts: Amount = Field(default=0, description="First pods that were made for a sandbox.")
    warm_starts: Amount = Field(default=0, description="Pods that were claimed from a pool.")
    resumes: Amount = Field(default=0, description="Further pods of a sandbox.")


class SandboxUsageSpec(Model):
    """Whose usage it is."""

    owner: str = Field(max_length=253, description="Owner of the sandboxes; empty: those that have no owner.")


class SandboxUsageStatus(Model):
    """The recorded usage."""

    through: str = Field(default="", max_length=32, description="Time until which usage is recorded. RFC 3339.")
    total: UsageAmounts = Field(default=UsageAmounts(), description="Sum of all days.")
    days: dict[str, Annotated[dict[str, UsageAmounts], Field(max_length=MOST_CLASSES)]] = Field(
        default={},
        max_length=DAYS_KEPT + 1,
        description=(
            f"Amounts by day in UTC, such as 2026-01-31, and by SandboxClass. Days are kept for {DAYS_KEPT} days. "
            f"`{OTHER_CLASSES}` is the sum of all classes beyond the first {MOST_CLASSES - 1} of a day."
        ),
    )


class SandboxUsage(Model):
    """What the sandboxes of one owner have used. The operator writes it at most every five minutes."""

    metadata: Metadata = Metadata()
    spec: SandboxUsageSpec
    status: SandboxUsageStatus = SandboxUsageStatus()
