"""What a SandboxClass adds to pods: volumes, side containers, certificates. It is never a PodSpec. Everything complies
with the Pod Security Standard `restricted`, except directories of the node, which a class must allow."""

from typing import Annotated

from pydantic import Field

from sandbox_crds.image_references import PATTERN
from sandbox_crds.models.base import Model, rules
from sandbox_crds.models.sandbox import EnvVar, PullPolicy

Quantity = Annotated[
    str,
    Field(max_length=32, pattern=r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?$", description="A Kubernetes quantity."),
]
Size = Annotated[str, Field(max_length=32, pattern=r"^[1-9][0-9]*(\.[0-9]+)?(M|Mi|G|Gi|T|Ti)$")]
"""Size of a directory or volume. Never 0, which Kubernetes takes as no limit for an emptyDir."""
Label = Annotated[str, Field(max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
ObjectName = Annotated[str, Field(max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")]
Path = Annotated[str, Field(max_length=1024, pattern=r"^/[^:]*$")]

_NAMES = ("workspace", "tmp", "home", "shm", "ca-bundle", "agent-server")
_PATHS = ("/workspace", "/tmp", "/home/openhands", "/dev/shm", "/etc/openhands-ca", "/root", "/oh")  # noqa: S108
_READ_ONLY = ("/etc/openhands-ca", "/oh")

_SOURCES = ("configMap", "secret", "persistentVolumeClaim", "emptyDir", "hostPath")
_VOLUME_RULES = rules(
    (
        f"[{', '.join(f'has(self.{source})' for source in _SOURCES)}].filter(given, given).size() == 1",
        f"a volume has just one of {', '.join(_SOURCES)}",
    ),
    (f"!(self.name in {list(_NAMES)})", f"these names are the operator's own: {', '.join(_NAMES)}"),
    (
        f"{list(_PATHS)}.all(own, self.mountPath != own && !own.startsWith(self.mountPath + '/')) && "
        "!self.mountPath.matches('^/+$|//|/$|/[.][.]?(/|$)|^/(proc|sys|dev|etc|usr|bin|sbin|lib|lib64)$')",
        "mountPath must be a plain path that hides no directory of the operator's or the image's own: "
        f"{', '.join(_PATHS)}",
    ),
    (
        f"!{list(_READ_ONLY)}.exists(own, self.mountPath.startsWith(own + '/'))",
        f"mountPath must not be below {' or '.join(_READ_ONLY)}, which are mounted read-only",
    ),
)


class ConfigMapSource(Model):
    """All entries of a ConfigMap as files."""

    name: ObjectName = Field(description="Name of the ConfigMap.")
    optional: bool = Field(default=False, description="True: pods start without it.")


class SecretSource(Model):
    """All entries of a Secret as files."""

    secret_name: ObjectName = Field(description="Name of the Secret.")
    optional: bool = Field(default=False, description="True: pods start without it.")


class ClaimSource(Model):
    """A volume that all pods of the class share. Many nodes must be able to mount it."""

    claim_name: ObjectName = Field(description="Name of the PersistentVolumeClaim.")


class EmptyDirSource(Model):
    """A directory of the pod."""

    size_limit: Size = Field(description="Size limit; beyond it the pod is evicted.")


class HostPathSource(Model):
    """A directory of the node, for classes with `allowHostPath`."""

    path: Path = Field(description="Path on the node.")


class Volume(Model):
    """A volume, and its path in the agent server's container."""

    name: Label = Field(description="Name in the pod.")
    mount_path: Path = Field(description="Path in the agent server's container.")
    read_only: bool = Field(default=True, description="False lets the sandbox write to it.")
    config_map: ConfigMapSource | None = Field(default=None, description="Entries of a ConfigMap.")
    secret: SecretSource | None = Field(default=None, description="Entries of a Secret.")
    persistent_volume_claim: ClaimSource | None = Field(
        default=None, description="A claim that all pods of the class share."
    )
    empty_dir: EmptyDirSource | None = Field(default=None, description="A directory of the pod.")
    host_path: HostPathSource | None = Field(default=None, description="A directory of the node; needs allowHostPath.")

    @property
    def source(self) -> dict[str, object]:
        """The source, as in a pod's `volumes`."""
        return self.model_dump(
            by_alias=True,
            exclude_none=True,
            exclude_defaults=True,
            include={"config_map", "secret", "persistent_volume_claim", "empty_dir", "host_path"},
        )


class Mount(Model):
    """Path of one of the pod's volumes in a side container."""

    name: Label = Field(description="Name of the volume: workspace, tmp, or one of `volumes`.")
    mount_path: Path = Field(description="Path in the side container.")
    read_only: bool = Field(
        default=False, description="True: it cannot write there. It can never write to a read-only volume."
    )


class Sidecar(Model):
    """A container that starts before the agent server and ends after it, with the same restrictions.

    It runs as the same user, in the same process namespace: a sandbox can read its memory and environment.
    """

    name: Label = Field(
        description="Name in the pod.",
        json_schema_extra=rules(
            (
                "!(self in ['agent-server', 'agent-server-copy'])",
                "agent-server and agent-server-copy are the operator's own",
            )
        ),
    )
    image: str = Field(min_length=1, max_length=1024, description="Its image.", json_schema_extra={"pattern": PATTERN})
    image_pull_policy: PullPolicy = Field(default="IfNotPresent", description="As in a pod.")
    command: list[Annotated[str, Field(max_length=8192)]] = Field(default=[], max_length=64, description="As in a pod.")
    args: list[Annotated[str, Field(max_length=8192)]] = Field(default=[], max_length=64, description="As in a pod.")
    env: list[EnvVar] = Field(default=[], max_length=64, description="As in a pod.")
    requests: dict[str, Quantity] = Field(default={}, max_length=16, description="Requests of CPU, memory and so on.")
    limits: dict[str, Quantity] = Field(default={}, max_length=16, description="Limits of CPU, memory and so on.")
    volume_mounts: list[Mount] = Field(default=[], max_length=16, description="Volumes of the pod to mount in it.")


class CaBundle(Model):
    """A file of PEM certificates, an entry of a ConfigMap in the namespace."""

    config_map_name: ObjectName = Field(description="Name of the ConfigMap.")
    key: str = Field(
        default="ca.crt", max_length=253, pattern=r"^[-._a-zA-Z0-9]+$", description="The entry with the certificates."
    )


Volumes = Annotated[
    list[Annotated[Volume, Field(json_schema_extra=_VOLUME_RULES)]],
    Field(max_length=16, json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}),
]
Sidecars = Annotated[
    list[Sidecar],
    Field(max_length=8, json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}),
]
