"""Traefik as the ingress controller of the cluster, with the static configuration of the documentation."""

import json
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from control_plane.resident import resident
from demo.local_target import LocalTarget
from local_cluster import build
from local_cluster.cluster import Cluster
from local_cluster.images import Scratch
from local_cluster.paths import ROOT, State
from local_cluster.progress import Progress

CONFIGURATION = ROOT / "examples" / "proxies" / "traefik.yaml"
INGRESS_CLASS = "traefik"
GATEWAY = "edge"
CERTIFICATE = "certificate"
"""The Secret of the Gateway's listener."""
_IMAGE = Scratch("traefik", "65532:65532")
_PORTS = {"websecure": 8443, "gateway": 8444, "defaults": 8445}
"""Of the pod, by entry point."""
_LABELS = {"app": "traefik"}
_GATEWAY_API = "gateway.networking.k8s.io"


@dataclass(frozen=True)
class Traefik:
    """One that serves. Clients outside of the cluster reach it at NODE_ADDRESS, by these ports."""

    target: LocalTarget
    namespace: str
    ports: Mapping[str, int]

    @property
    def pod(self) -> Mapping[str, Any]:
        pods = self.kubectl("get", "pods", "--output", "json")
        [pod] = json.loads(pods)["items"]
        return pod

    @property
    def address(self) -> str:
        """From where it connects to the gateway."""
        return self.pod["status"]["podIP"]

    @property
    def resident(self) -> int:
        """Bytes of memory of its process that are resident."""
        uid = self.pod["metadata"]["uid"]
        cgroups = Path("/proc").glob("[0-9]*/cgroup")
        [pid] = [
            path.parent
            for path in cgroups
            if uid in _read(path) and _read(path.parent / "cmdline").startswith("/traefik")
        ]
        return resident(int(pid.name))

    def log(self) -> str:
        """All that it has logged."""
        return self.kubectl("logs", f"deployment/{INGRESS_CLASS}", "--tail=-1")

    def kubectl(self, *arguments: str) -> str:
        """kubectl in its namespace."""
        return self.target.kubectl("--namespace", self.namespace, *arguments)


@contextmanager
def serving(target: LocalTarget, namespace: str, progress: Progress) -> Generator[Traefik]:
    """Traefik in this namespace, while the context lasts, with a Gateway whose certificate is the Secret CERTIFICATE.

    Ingresses have two entry points: `websecure` of the configuration, and `defaults` with Traefik's own times.
    HTTPRoutes have `gateway`.
    """
    build.ensure([_IMAGE.name], progress)
    state = State.from_environment()
    Cluster(state).load_image(_IMAGE.archive())
    definitions = build.module_source("traefik", "sigs.k8s.io/gateway-api") / "config" / "crd" / "standard"
    target.kubectl("apply", "--server-side", "--filename", str(definitions))
    wide = [item for item in _manifests(namespace) if "namespace" not in item["metadata"]]
    try:
        target.kubectl("wait", "--for=condition=Established", "--timeout=60s", "customresourcedefinitions", "--all")
        target.kubectl("apply", "--filename", "-", stdin=_list(_manifests(namespace)))
        service = json.loads(target.kubectl("--namespace", namespace, "get", "service", INGRESS_CLASS, "--output=json"))
        ports = {port["name"]: port["nodePort"] for port in service["spec"]["ports"]}
        found = Traefik(target, namespace, ports)
        found.kubectl("rollout", "status", f"deployment/{INGRESS_CLASS}", "--timeout=120s")
        yield found
    finally:
        target.kubectl("delete", "--ignore-not-found", "--wait=false", "--filename", "-", stdin=_list(wide))
        target.kubectl("delete", "--ignore-not-found", "--wait=false", "--filename", str(definitions))


def _read(file: Path) -> str:
    """Of a process; empty once it has ended."""
    try:
        return file.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _list(items: Sequence[Mapping[str, Any]]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": items})


def _configuration() -> str:
    """The documentation's, with two more entry points."""
    config = yaml.safe_load(CONFIGURATION.read_text())
    config["entryPoints"] |= {
        "defaults": {"address": f":{_PORTS['defaults']}", "asDefault": True, "http": {"tls": {}}},
        "gateway": {**config["entryPoints"]["websecure"], "address": f":{_PORTS['gateway']}", "asDefault": False},
    }
    return yaml.safe_dump(config)


def _manifests(namespace: str) -> list[Mapping[str, Any]]:
    """Every object of it. The rights are those of Traefik's documentation for its two providers."""
    metadata = {"name": INGRESS_CLASS, "namespace": namespace}
    rbac = "rbac.authorization.k8s.io"
    read = ["get", "list", "watch"]
    routes = ["gatewayclasses", "gateways", "httproutes", "grpcroutes", "tlsroutes"]
    others = ["referencegrants", "backendtlspolicies"]
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata},
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "ClusterRole",
            "metadata": {"name": namespace},
            "rules": [
                {
                    "apiGroups": [""],
                    "resources": ["configmaps", "namespaces", "nodes", "secrets", "services"],
                    "verbs": read,
                },
                {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": read},
                {"apiGroups": ["networking.k8s.io"], "resources": ["ingressclasses", "ingresses"], "verbs": read},
                {"apiGroups": ["networking.k8s.io"], "resources": ["ingresses/status"], "verbs": ["update"]},
                {"apiGroups": [_GATEWAY_API], "resources": [*routes, *others], "verbs": read},
                {
                    "apiGroups": [_GATEWAY_API],
                    "resources": [f"{name}/status" for name in (*routes, "backendtlspolicies")],
                    "verbs": ["update"],
                },
            ],
        },
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": namespace},
            "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": namespace},
            "subjects": [{"kind": "ServiceAccount", **metadata}],
        },
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": metadata,
            "data": {CONFIGURATION.name: _configuration()},
        },
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "IngressClass",
            "metadata": {"name": INGRESS_CLASS},
            "spec": {"controller": "traefik.io/ingress-controller"},
        },
        {
            "apiVersion": f"{_GATEWAY_API}/v1",
            "kind": "GatewayClass",
            "metadata": {"name": INGRESS_CLASS},
            "spec": {"controllerName": "traefik.io/gateway-controller"},
        },
        {
            "apiVersion": f"{_GATEWAY_API}/v1",
            "kind": "Gateway",
            "metadata": {"name": GATEWAY, "namespace": namespace},
            "spec": {
                "gatewayClassName": INGRESS_CLASS,
                "listeners": [
                    {
                        "name": "https",
                        "port": _PORTS["gateway"],
                        "protocol": "HTTPS",
                        "tls": {"certificateRefs": [{"name": CERTIFICATE}]},
                        "allowedRoutes": {"namespaces": {"from": "All"}},
                    }
                ],
            },
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": metadata,
            "spec": {
                "selector": {"matchLabels": _LABELS},
                "strategy": {"type": "Recreate"},
                "template": {
                    # Another configuration takes another pod.
                    "metadata": {"labels": _LABELS, "annotations": {"configuration": _configuration()}},
                    "spec": _pod_spec(),
                },
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {
                "type": "NodePort",
                # So it sees the addresses of clients.
                "externalTrafficPolicy": "Local",
                "selector": _LABELS,
                "ports": [{"name": name, "port": port} for name, port in _PORTS.items()],
            },
        },
    ]


def _pod_spec() -> Mapping[str, Any]:
    return {
        "serviceAccountName": INGRESS_CLASS,
        "enableServiceLinks": False,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [
            {
                "name": INGRESS_CLASS,
                "image": _IMAGE.reference,
                "imagePullPolicy": "Never",
                "args": [f"--configFile=/etc/traefik/{CONFIGURATION.name}"],
                "readinessProbe": {"httpGet": {"path": "/ping", "port": 8080}, "periodSeconds": 1},
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
                "volumeMounts": [{"name": "config", "mountPath": "/etc/traefik", "readOnly": True}],
            }
        ],
        "volumes": [{"name": "config", "configMap": {"name": INGRESS_CLASS}}],
    }
