"""`SandboxPool`: warm pods for sandboxes that ask for exactly what these pods run."""

from typing import Annotated

from pydantic import Field

from sandbox_crds.image_references import PATTERN
from sandbox_crds.models.base import Metadata, Model, rules
from sandbox_crds.models.sandbox import (
    ENV_CHARACTERS,
    Command,
    GroupId,
    PullPolicy,
    ResourceFactor,
    Status,
    UserId,
)
from sandbox_crds.names import SANDBOX_NAME

MOST_PODS = 10_000

NAME_RULE = rules(
    (
        f"self.metadata.name.matches('{SANDBOX_NAME}')",
        "metadata.name must be a DNS label of at most 50 characters that starts with a letter: names of pods begin so",
    )
)

Replicas = Annotated[int, Field(ge=0, le=MOST_PODS)]


class Autoscaling(Model):
    """The size follows recent demand."""

    min_replicas: Replicas = Field(default=0, description="Least number of free pods.")
    max_replicas: Replicas = Field(description="Greatest number of free pods.")
    target_hit_rate: int = Field(
        default=95, ge=1, le=100, description="Percentage of starts that should find a free pod."
    )


class SandboxPoolSpec(Model):
    """What the pods run, and how many stay free. Changes replace free pods, never claimed ones."""

    replicas: Replicas = Field(default=1, description="Number of free pods. With `autoscaling`, only the first size.")
    autoscaling: Autoscaling | None = Field(
        default=None,
        description="Sizes the pool by recent demand instead of by `replicas`.",
        json_schema_extra=rules(("self.minReplicas <= self.maxReplicas", "minReplicas is more than maxReplicas")),
    )
    image: str = Field(
        min_length=1, max_length=1024, description="As in a Sandbox.", json_schema_extra={"pattern": PATTERN}
    )
    command: Command = Field(default=[], description="As in a Sandbox.")
    working_dir: str = Field(default="", max_length=4096, description="As in a Sandbox.")
    environment: dict[str, Annotated[str, Field(max_length=32768)]] = Field(
        default={},
        max_length=256,
        description=(
            "The environment that clients send to /start, including empty values. Clients of the gateway can read it: "
            "do not put secrets here."
        ),
        json_schema_extra=rules(
            (
                f"self.map(n, size(n) + size(self[n])).sum() <= {ENV_CHARACTERS}",
                f"has more than {ENV_CHARACTERS} characters",
            )
        ),
    )
    class_name: str = Field(default="default", max_length=253, description="As in a Sandbox.")
    resource_factor: ResourceFactor = Field(default=1, description="As in a Sandbox.")
    run_as_user: UserId = Field(default=10001, description="As in a Sandbox.")
    run_as_group: GroupId = Field(default=10001, description="As in a Sandbox.")
    fs_group: GroupId = Field(default=10001, description="As in a Sandbox.")
    runtime_class_name: str = Field(default="", max_length=253, description="As in a Sandbox.")
    image_pull_policy: PullPolicy = Field(default="IfNotPresent", description="As in a Sandbox.")
    deferred_init: bool = Field(
        default=False,
        description=(
            "True: agent servers boot and wait for their environment, which may differ from the pool's in variables "
            "that they do not read at boot (`OH_DEFERRED_INIT`)."
        ),
    )


class SandboxPoolStatus(Status):
    """The observed state. The operator writes it up to a few seconds late while pods change."""

    desired_replicas: int = Field(default=0, description="Number of free pods that autoscaling or the spec asks for.")
    replicas: int = Field(default=0, description="Existing free pods, ready or not.")
    ready_replicas: int = Field(default=0, description="Free pods that can be claimed.")
    starting_replicas: int = Field(default=0, description="Free pods that are starting.")
    failing_replicas: int = Field(default=0, description="Free pods that fail to start.")
    claimed_pods: int = Field(default=0, description="Pods of this pool that run sandboxes.")
    selector: str = Field(default="", description="Label selector of the free pods, for the subresource `scale`.")


class SandboxPool(Model):
    """Warm pods for sandboxes that ask for exactly what these pods run."""

    metadata: Metadata = Metadata()
    spec: SandboxPoolSpec
    status: SandboxPoolStatus = SandboxPoolStatus()
