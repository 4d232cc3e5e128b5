"""Cluster DNS: CoreDNS in a pod, with an optional wildcard domain that leads to one address."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from local_cluster.errors import ClusterError
from local_cluster.node import CLUSTER_DOMAIN, DNS_IP

# The domain for tests of the gateway's host mode. `.test` is reserved for tests (RFC 6761).
SANDBOX_DOMAIN = "sandbox.test"
DEPLOYMENT = "/apis/apps/v1/namespaces/kube-system/deployments/coredns"
NAMESPACE = "kube-system"
LABELS = {"k8s-app": "kube-dns"}
HEALTH_PORT = 8080
READY_PORT = 8181


@dataclass(frozen=True)
class Wildcard:
    """`domain` and every name below it have the IPv4 address `address`. Raises ClusterError when one is malformed."""

    domain: str
    address: str

    def __post_init__(self) -> None:
        label = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
        if not re.fullmatch(rf"({label}\.)+{label}", self.domain) or len(self.domain) > 253:
            raise ClusterError(f"{self.domain!r} is not a domain name", remedy=f"give one such as {SANDBOX_DOMAIN}")
        number = r"(25[0-5]|2[0-4]\d|1?\d?\d)"
        if not re.fullmatch(rf"({number}\.){{3}}{number}", self.address):
            raise ClusterError(f"{self.address!r} is not an IPv4 address", remedy="give a Service's ClusterIP")


def corefile(wildcard: Wildcard | None, upstreams: Sequence[str]) -> str:
    """CoreDNS's configuration. Without upstreams, no name outside of the cluster exists (NXDOMAIN)."""
    blocks = [
        f"""{CLUSTER_DOMAIN}:53 in-addr.arpa:53 ip6.arpa:53 {{
    errors
    health :{HEALTH_PORT}
    ready :{READY_PORT}
    kubernetes {CLUSTER_DOMAIN} in-addr.arpa ip6.arpa {{
        ttl 5
    }}
}}
"""
    ]
    if wildcard is not None:
        blocks.append(
            f"""{wildcard.domain}:53 {{
    errors
    template IN A {wildcard.domain} {{
        answer "{{{{ .Name }}}} 5 IN A {wildcard.address}"
    }}
    template IN ANY {wildcard.domain} {{
        rcode NOERROR
    }}
}}
"""
        )
    rest = f"forward . {' '.join(upstreams)}" if upstreams else "template IN ANY . {\n        rcode NXDOMAIN\n    }"
    blocks.append(
        f""".:53 {{
    errors
    {rest}
}}
"""
    )
    return "".join(blocks)


def upstreams(resolv_conf: str) -> list[str]:
    """The name servers of a resolv.conf that can be reached from another network namespace."""
    servers = re.findall(r"^\s*nameserver\s+(\S+)", resolv_conf, re.MULTILINE)
    return [server for server in servers if not server.startswith("127.") and ":" not in server]


def manifests(config: str, image: str) -> list[Mapping[str, Any]]:
    """Every object of cluster DNS. A changed configuration changes the pod template, so applying it rolls the pod."""
    metadata = {"name": "coredns", "namespace": NAMESPACE}
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": "system:coredns"},
            "rules": [
                {"apiGroups": [""], "resources": ["namespaces", "services"], "verbs": ["list", "watch"]},
                {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
            ],
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "system:coredns"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:coredns"},
            "subjects": [{"kind": "ServiceAccount", **metadata}],
        },
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"Corefile": config}},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "kube-dns", "namespace": NAMESPACE, "labels": LABELS},
            "spec": {
                "clusterIP": DNS_IP,
                "selector": LABELS,
                "ports": [
                    {"name": "dns", "port": 53, "protocol": "UDP"},
                    {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
                ],
            },
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": metadata,
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": LABELS},
                # The old pod answers until the new one is ready.
                "strategy": {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
                "template": {
                    "metadata": {
                        "labels": LABELS,
                        "annotations": {"local-cluster/corefile": hashlib.sha256(config.encode()).hexdigest()},
                    },
                    "spec": _pod_spec(image),
                },
            },
        },
    ]


def _pod_spec(image: str) -> Mapping[str, Any]:
    return {
        "serviceAccountName": "coredns",
        "priorityClassName": "system-cluster-critical",
        "dnsPolicy": "Default",
        "terminationGracePeriodSeconds": 1,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [
            {
                "name": "coredns",
                "image": image,
                "imagePullPolicy": "Never",
                "args": ["-conf", "/etc/coredns/Corefile"],
                "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "170Mi"}},
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
                "ports": [
                    {"containerPort": 53, "protocol": "UDP"},
                    {"containerPort": 53, "protocol": "TCP"},
                ],
                "livenessProbe": {"httpGet": {"path": "/health", "port": HEALTH_PORT}, "failureThreshold": 5},
                "readinessProbe": {"httpGet": {"path": "/ready", "port": READY_PORT}, "periodSeconds": 1},
                "volumeMounts": [{"name": "config", "mountPath": "/etc/coredns", "readOnly": True}],
            }
        ],
        "volumes": [{"name": "config", "configMap": {"name": "coredns"}}],
    }
