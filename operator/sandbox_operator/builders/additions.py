"""What a class adds to each pod: volumes, certificates, side containers."""

from typing import Any

from sandbox_crds.models import SandboxClass
from sandbox_crds.models.pod_additions import Mount, Sidecar, Volume
from sandbox_operator.builders.confinement import confinement
from sandbox_operator.builders.environment import CA_DIRECTORY, CA_FILE

_CA_VOLUME = "ca-bundle"
_CA_MOUNT: dict[str, Any] = {"name": _CA_VOLUME, "mountPath": CA_DIRECTORY, "readOnly": True}


def extra_volumes(class_: SandboxClass) -> list[dict[str, Any]]:
    """The class's volumes, as in a pod's `volumes`."""
    overlay = class_.spec.pod
    volumes: list[dict[str, Any]] = [{"name": volume.name, **volume.source} for volume in overlay.volumes]
    if bundle := overlay.ca_bundle:
        items = [{"key": bundle.key, "path": CA_FILE}]
        volumes.append({"name": _CA_VOLUME, "configMap": {"name": bundle.config_map_name, "items": items}})
    return volumes


def extra_mounts(class_: SandboxClass) -> list[dict[str, Any]]:
    """The `volumeMounts` of these volumes in the agent server's container."""
    mounts = [_mount(volume, read_only=volume.read_only) for volume in class_.spec.pod.volumes]
    return [*mounts, _CA_MOUNT] if class_.spec.pod.ca_bundle else mounts


def sidecars(class_: SandboxClass) -> list[dict[str, Any]]:
    """The pod's `initContainers`: they start first, run beside the agent server and end after it."""
    return [_sidecar(class_, sidecar) for sidecar in class_.spec.pod.sidecars]


def _sidecar(class_: SandboxClass, sidecar: Sidecar) -> dict[str, Any]:
    container: dict[str, Any] = {
        "name": sidecar.name,
        "image": sidecar.image,
        "imagePullPolicy": sidecar.image_pull_policy,
        "restartPolicy": "Always",
        **confinement(class_),
    }
    given = {
        "command": sidecar.command,
        "args": sidecar.args,
        "env": [entry.model_dump(by_alias=True, exclude_none=True) for entry in sidecar.env],
        "volumeMounts": [_sidecar_mount(class_, mount) for mount in sidecar.volume_mounts],
        "resources": {
            kind: dict(amounts)
            for kind, amounts in (("requests", sidecar.requests), ("limits", sidecar.limits))
            if amounts
        },
    }
    return container | {name: value for name, value in given.items() if value}


def _sidecar_mount(class_: SandboxClass, mount: Mount) -> dict[str, Any]:
    # A sandbox can reach the files of side containers, because they run as the same user.
    kept = any(volume.name == mount.name and volume.read_only for volume in class_.spec.pod.volumes)
    return _mount(mount, read_only=mount.read_only or kept)


def _mount(of: Volume | Mount, *, read_only: bool) -> dict[str, Any]:
    return {"name": of.name, "mountPath": of.mount_path, **({"readOnly": True} if read_only else {})}
