"""StorageClasses that cannot serve a pool of two warm pods, and the pools."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cluster.site import Site
from cluster.storage import local_volume, storage_class
from sandbox_common.reasons import PoolReason

MISSING, SLOW, FULL, ELSEWHERE = (f"pools-{name}" for name in ("missing", "slow", "full", "elsewhere"))
"""Names of the StorageClass, the SandboxClass and the pool of each case."""
REASONS = {
    MISSING: (PoolReason.VOLUME_NOT_BOUND, f'storageclass.storage.k8s.io "{MISSING}" not found'),
    SLOW: (PoolReason.VOLUME_NOT_BOUND, "example.com/nobody"),
    FULL: (PoolReason.VOLUME_NOT_BOUND, "available persistent volumes to bind"),
    ELSEWHERE: (PoolReason.UNSCHEDULABLE, "PersistentVolume's node affinity"),
}
"""The reason of each pool, and words of its message."""


@contextmanager
def unbound(site: Site, image: str, class_spec: Mapping[str, Any], directory: Path) -> Generator[None]:
    """All of it is there while the context lasts. `directory` is one of the node, for the only volume of FULL."""
    outside = {"apiVersion": "v1", "kind": "List", "items": _outside(directory)}
    inside = [item for name in REASONS for item in _inside(name, image, class_spec)]
    site.kubectl("apply", "--filename", "-", body=outside)
    site.kubectl("apply", "--filename", "-", body={"apiVersion": "v1", "kind": "List", "items": inside})
    try:
        yield
    finally:
        site.kubectl("delete", "ohsp", *REASONS, "--wait=false")
        site.kubectl("delete", "--filename", "-", "--wait=false", body=outside)


def _inside(name: str, image: str, class_spec: Mapping[str, Any]) -> list[dict[str, Any]]:
    workspace = {"persistent": True, "size": "1Gi", "storageClassName": name}
    specs = {
        "SandboxClass": {**class_spec, "workspace": workspace},
        "SandboxPool": {"image": image, "className": name, "replicas": 2},
    }
    version = "sandbox.openhands.dev/v1alpha1"
    return [
        {"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec} for kind, spec in specs.items()
    ]


def _outside(directory: Path) -> list[dict[str, Any]]:
    static = "kubernetes.io/no-provisioner"
    elsewhere = [local_volume(f"{ELSEWHERE}-{number}", ELSEWHERE, directory, node="elsewhere") for number in range(2)]
    return [
        storage_class(SLOW, "example.com/nobody"),
        storage_class(FULL, static),
        local_volume(FULL, FULL, directory),
        # Claims are bound before anybody asks where their pods can run.
        storage_class(ELSEWHERE, static, "Immediate"),
        *elsewhere,
    ]
