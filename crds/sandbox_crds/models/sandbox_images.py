"""`SandboxImages`: images that are kept on nodes before sandboxes need them."""

from typing import Annotated, Any

from pydantic import Field

from sandbox_crds.image_references import PATTERN
from sandbox_crds.models.base import PRESERVE_UNKNOWN, Metadata, Model
from sandbox_crds.models.pod_additions import ObjectName, Size
from sandbox_crds.models.sandbox import Status
from sandbox_crds.models.sandbox_class import Text

MOST_IMAGES = 2500
LONGEST_IMAGE = 512
"""Characters. The longest list of the longest images has 1.3 MB; etcd refuses objects of more than 1.5 MiB."""
MOST_NODES = 100
MOST_FAILURES = 20


class SandboxImagesSpec(Model):
    """Which images to keep, and on which nodes."""

    images: list[
        Annotated[str, Field(min_length=1, max_length=LONGEST_IMAGE, json_schema_extra={"pattern": PATTERN})]
    ] = Field(
        min_length=1,
        max_length=MOST_IMAGES,
        description="The images, in the order in which they are pulled. Duplicates are ignored and reported.",
    )
    node_selector: dict[str, Text] = Field(
        default={}, max_length=64, description="Labels of the nodes. Default: all nodes."
    )
    tolerations: list[Annotated[dict[str, Any], Field(json_schema_extra=PRESERVE_UNKNOWN)]] = Field(
        default=[],
        max_length=64,
        description="As in a pod. Nodes with other taints, cordoned nodes and nodes that are not ready get no images.",
    )
    parallelism: int = Field(default=2, ge=1, le=32, description="Pulls at the same time on each node.")
    max_disk: Size | None = Field(
        default=None,
        description=(
            "Maximum bytes of kept images on each node, by the sizes that nodes report. If the list has more, only "
            "the next images that no sandbox has used yet are kept. Default: no limit."
        ),
    )
    image_pull_secrets: list[ObjectName] = Field(
        default=[], max_length=16, description="Names of image pull Secrets in the namespace."
    )
    priority_class_name: str = Field(
        default="",
        max_length=253,
        description="PriorityClass of the pods that keep images. Choose one with a negative value.",
    )


class NodeImages(Model):
    """The images of one node."""

    name: str = Field(description="Name of the node.")
    ready: int = Field(default=0, description="Images that are kept there.")
    pulling: int = Field(default=0, description="Images that are being pulled.")
    failed: int = Field(default=0, description="Images whose last pull failed.")
    bytes: int = Field(default=0, ge=0, le=2**53, description="Size of the kept images, as far as it is known.")


class ImageFailure(Model):
    """An image that cannot be pulled. The operator tries again after 30 s to 30 min."""

    image: str = Field(description="The image.")
    reason: str = Field(description="The cause, in one word, as in the condition `Ready` of a Sandbox.")
    message: str = Field(default="", description="What the node says.")
    nodes: int = Field(default=1, description="Number of nodes on which it fails.")


class SandboxImagesStatus(Status):
    """The observed state. The operator writes it up to a few seconds late while images are pulled."""

    images: int = Field(default=0, description="Number of different images in the list.")
    nodes: int = Field(default=0, description="Number of nodes that shall have them.")
    wanted: int = Field(default=0, description="Images to keep now, each counted on each node.")
    ready: int = Field(default=0, description="Images that are kept, each counted on each node.")
    pulling: int = Field(default=0, description="Images that are being pulled, each counted on each node.")
    failed: int = Field(default=0, description="Images whose last pull failed, each counted on each node.")
    bytes: int = Field(default=0, ge=0, le=2**53, description="Size of the kept images of all nodes.")
    used: str = Field(
        default="",
        max_length=16384,
        description="With maxDisk: places in the list of the images that sandboxes have used in this pass: `1-40,42`.",
    )
    pass_started: str = Field(default="", max_length=64, description="With maxDisk: when this pass began. RFC 3339.")
    by_node: list[NodeImages] = Field(
        default=[], max_length=MOST_NODES, description=f"The first {MOST_NODES} nodes by name."
    )
    failures: list[ImageFailure] = Field(
        default=[], max_length=MOST_FAILURES, description=f"The first {MOST_FAILURES} failed images of the list."
    )


class SandboxImages(Model):
    """A list of images that are kept on nodes, so that sandboxes start without a pull."""

    metadata: Metadata = Metadata()
    spec: SandboxImagesSpec
    status: SandboxImagesStatus = SandboxImagesStatus()
