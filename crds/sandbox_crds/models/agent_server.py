"""How a SandboxClass brings the agent server into pods of images that have none."""

from typing import Annotated, Literal

from pydantic import Field

from sandbox_crds.image_references import PATTERN
from sandbox_crds.models.base import Model
from sandbox_crds.models.sandbox import PullPolicy


class AgentServer(Model):
    """The agent server of sandboxes whose images have none. It is mounted at /oh and started from there."""

    image: str = Field(
        min_length=1,
        max_length=1024,
        description="Image with the agent server, as agent_server_image/Dockerfile builds it.",
        json_schema_extra={"pattern": PATTERN},
    )
    image_pull_policy: PullPolicy = Field(default="IfNotPresent", description="As in a pod.")
    delivery: Literal["ImageVolume", "Copy"] = Field(
        default="ImageVolume",
        description=(
            "ImageVolume mounts the image. This needs Kubernetes 1.35, and nodes whose container runtime supports "
            "image volumes. Copy works on every cluster: each pod copies 1 GB from the image before it starts."
        ),
    )
    entrypoint: list[Annotated[str, Field(max_length=8192)]] = Field(
        default=[],
        max_length=64,
        description=(
            "Program of the sandbox's image, with its arguments, that runs first. It gets the agent server's command "
            'as further arguments and must execute it, as entrypoint scripts do with `exec "$@"`.'
        ),
    )
