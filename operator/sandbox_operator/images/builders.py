"""The pod that keeps images on a node."""

import base64
import secrets
from collections.abc import Sequence
from typing import Any

from sandbox_common.kube import KubeObject
from sandbox_common.kube.resources import PODS, SANDBOX_IMAGES
from sandbox_crds.api import IMAGES_LABEL, MANAGED_BY_LABEL, MANAGER
from sandbox_crds.models import SandboxImages
from sandbox_operator.builders.eviction import SAFE_TO_EVICT
from sandbox_operator.images.keepers import CONTAINER

_NOBODY = 65535
"""User and group of the pause program, as in Kubernetes' own pause image."""


def new_name(of: SandboxImages) -> str:
    """A name for a new keeper: a DNS label that has not been used."""
    return f"{of.metadata.name}-{base64.b32encode(secrets.token_bytes(7)).decode().lower()[:10]}"


def build_keeper(of: SandboxImages, node: str, images: Sequence[str], pause_image: str, name: str) -> KubeObject:
    """A pod for this node alone, as the Pod Security Standard `restricted` demands, that runs none of the images.

    The scheduler places it, so it takes no room that a sandbox's pod has been promised.
    """
    spec = of.spec
    metadata: dict[str, Any] = {
        "name": name,
        "namespace": of.metadata.namespace,
        "labels": {IMAGES_LABEL: of.metadata.name, MANAGED_BY_LABEL: MANAGER},
        # Nothing is lost with it, so it keeps no node from being removed.
        "annotations": {SAFE_TO_EVICT: "true"},
        "ownerReferences": [
            {
                "apiVersion": SANDBOX_IMAGES.api_version,
                "kind": SANDBOX_IMAGES.kind,
                "name": of.metadata.name,
                "uid": of.metadata.uid,
                "controller": True,
            }
        ],
    }
    this_node = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}
    body: dict[str, Any] = {
        "affinity": {
            "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [this_node]}}
        },
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 1,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _NOBODY,
            "runAsGroup": _NOBODY,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": CONTAINER,
                "image": pause_image,
                "imagePullPolicy": "IfNotPresent",
                "resources": {"requests": {"cpu": "1m", "memory": "1Mi"}, "limits": {"memory": "32Mi"}},
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "capabilities": {"drop": ["ALL"]},
                    "readOnlyRootFilesystem": True,
                },
                "volumeMounts": [
                    {"name": f"image-{number}", "mountPath": f"/images/{number}", "readOnly": True}
                    for number in range(len(images))
                ],
            }
        ],
        "volumes": [
            {"name": f"image-{number}", "image": {"reference": image, "pullPolicy": "IfNotPresent"}}
            for number, image in enumerate(images)
        ],
    }
    if spec.tolerations:
        body["tolerations"] = [dict(toleration) for toleration in spec.tolerations]
    if spec.image_pull_secrets:
        body["imagePullSecrets"] = [{"name": secret} for secret in spec.image_pull_secrets]
    if spec.priority_class_name:
        body["priorityClassName"] = spec.priority_class_name
    return {"apiVersion": PODS.api_version, "kind": PODS.kind, "metadata": metadata, "spec": body}
