"""What kind applies to a new cluster from the node image: the network and the default StorageClass."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from local_cluster import storage
from local_cluster.components import POLICIES_RULES
from local_cluster.images import PROVISIONER, VOLUME_HELPER
from local_cluster.node import POLICIES_FLAGS

VOLUMES = Path("/var/local-path-provisioner")
NAME = "kube-router"
LABELS = {"app": NAME}
_RBAC = "rbac.authorization.k8s.io"


def dump(objects: Iterable[Mapping[str, Any]]) -> str:
    """The objects as the text of one manifest."""
    return "---\n".join(json.dumps(each) + "\n" for each in objects)


def storage_class() -> list[Mapping[str, Any]]:
    return storage.manifests(VOLUMES, image=PROVISIONER.reference, helper_image=VOLUME_HELPER.reference)


def network_policies(image: str) -> list[Mapping[str, Any]]:
    """kube-router, which enforces NetworkPolicies. Pods get their addresses from the node's CNI configuration."""
    metadata = {"name": NAME, "namespace": "kube-system"}
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata},
        {"apiVersion": f"{_RBAC}/v1", "kind": "ClusterRole", "metadata": {"name": NAME}, "rules": POLICIES_RULES},
        {
            "apiVersion": f"{_RBAC}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": NAME},
            "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": NAME},
            "subjects": [{"kind": "ServiceAccount", **metadata}],
        },
        {
            "apiVersion": "apps/v1",
            "kind": "DaemonSet",
            "metadata": metadata,
            "spec": {
                "selector": {"matchLabels": LABELS},
                "template": {"metadata": {"labels": LABELS}, "spec": _pod_spec(image)},
            },
        },
    ]


def _pod_spec(image: str) -> Mapping[str, Any]:
    return {
        "hostNetwork": True,
        "priorityClassName": "system-node-critical",
        "serviceAccountName": NAME,
        "tolerations": [{"operator": "Exists"}],
        "containers": [
            {
                "name": NAME,
                "image": image,
                "imagePullPolicy": "Never",
                "command": [f"/usr/local/bin/{NAME}"],
                "args": [*POLICIES_FLAGS, "--hostname-override=$(NODE_NAME)"],
                "env": [{"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}],
                # It writes rules of the firewall and settings of the node's network.
                "securityContext": {"privileged": True},
            }
        ],
    }
