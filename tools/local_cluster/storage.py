"""Dynamic volumes: local-path-provisioner, with directories of the node below the cluster's state directory."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

NAMESPACE = "local-path-storage"
NAME = "local-path-provisioner"
DEPLOYMENT = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{NAME}"
STORAGE_CLASS = "local-path"
PROVISIONER = "rancher.io/local-path"
# The name that the provisioner looks for.
CONFIG = "local-path-config"
LABELS = {"app": NAME}
# Seconds for the pod that makes or removes a directory.
HELPER_TIMEOUT = 60


def manifests(volumes: Path, *, image: str, helper_image: str) -> list[Mapping[str, Any]]:
    """Every object of the provisioner, and the StorageClass, which is the cluster's default.

    Each volume is a directory in `volumes`, of the type `local` and not `hostPath`: so the kubelet applies the pod's
    fsGroup, as it does to the volumes of nearly every other cluster. Rights and configuration follow the manifest of
    v0.0.30.
    """
    metadata = {"name": NAME, "namespace": NAMESPACE}
    account = {"kind": "ServiceAccount", **metadata}
    rbac = "rbac.authorization.k8s.io"
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata},
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "Role",
            "metadata": metadata,
            "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "create", "delete"]}],
        },
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "RoleBinding",
            "metadata": metadata,
            "roleRef": {"apiGroup": rbac, "kind": "Role", "name": NAME},
            "subjects": [account],
        },
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "ClusterRole",
            "metadata": {"name": NAME},
            "rules": [
                {
                    "apiGroups": [""],
                    "resources": ["nodes", "persistentvolumeclaims", "configmaps", "pods", "pods/log"],
                    "verbs": ["get", "list", "watch"],
                },
                {
                    "apiGroups": [""],
                    "resources": ["persistentvolumes"],
                    "verbs": ["get", "list", "watch", "create", "patch", "update", "delete"],
                },
                {"apiGroups": [""], "resources": ["events"], "verbs": ["create", "patch"]},
                {"apiGroups": ["storage.k8s.io"], "resources": ["storageclasses"], "verbs": ["get", "list", "watch"]},
            ],
        },
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": NAME},
            "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": NAME},
            "subjects": [account],
        },
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": CONFIG, "namespace": NAMESPACE},
            "data": {
                "config.json": json.dumps(_config(volumes), indent=2),
                "helperPod.yaml": json.dumps(_helper_pod(helper_image), indent=2),  # JSON is YAML
            },
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": metadata,
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": LABELS},
                "strategy": {"type": "Recreate"},
                "template": {"metadata": {"labels": LABELS}, "spec": _pod_spec(image)},
            },
        },
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {
                "name": STORAGE_CLASS,
                "annotations": {
                    "storageclass.kubernetes.io/is-default-class": "true",
                    "defaultVolumeType": "local",
                },
            },
            "provisioner": PROVISIONER,
            "volumeBindingMode": "WaitForFirstConsumer",
            "reclaimPolicy": "Delete",
        },
    ]


def _config(volumes: Path) -> Mapping[str, Any]:
    # With both commands named it mounts no shell scripts into its helper pods, which so need no shell.
    return {
        "nodePathMap": [{"node": "DEFAULT_PATH_FOR_NON_LISTED_NODES", "paths": [str(volumes)]}],
        "setupCommand": "/volume-helper",
        "teardownCommand": "/volume-helper",
        "cmdTimeoutSeconds": HELPER_TIMEOUT,
    }


def _helper_pod(image: str) -> Mapping[str, Any]:
    """A template of the provisioner's pod for each directory; it adds command, arguments, node and mount."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "helper-pod"},
        "spec": {
            "priorityClassName": "system-node-critical",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": 0,
            "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [
                {
                    "name": "helper-pod",
                    "image": image,
                    "imagePullPolicy": "Never",
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        # Root without these two could not remove what sandboxes wrote under their own user id.
                        "capabilities": {"drop": ["ALL"], "add": ["DAC_OVERRIDE", "FOWNER"]},
                    },
                }
            ],
        },
    }


def _pod_spec(image: str) -> Mapping[str, Any]:
    return {
        "serviceAccountName": NAME,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 1,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [
            {
                "name": NAME,
                "image": image,
                "imagePullPolicy": "Never",
                "args": ["start", "--config=/etc/config/config.json", f"--service-account-name={NAME}"],
                "env": [{"name": "POD_NAMESPACE", "value": NAMESPACE}],
                "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "170Mi"}},
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
                "volumeMounts": [{"name": "config", "mountPath": "/etc/config", "readOnly": True}],
            }
        ],
        "volumes": [{"name": "config", "configMap": {"name": CONFIG}}],
    }
