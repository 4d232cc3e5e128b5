"""The control plane's command lines and configuration: pure functions of the cluster's layout."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local_cluster import pki
from local_cluster.pki import Pki

SERVICE_CIDR = "10.96.0.0/16"
SERVICE_IP = "10.96.0.1"

# One event for each request, without bodies. Tests count API writes with it.
AUDIT_POLICY: dict[str, Any] = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata"}],
}

_RBAC = "rbac.authorization.k8s.io"


def _binding(name: str, role: str, user: str) -> dict[str, Any]:
    return {
        "apiVersion": f"{_RBAC}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": _RBAC, "kind": "User", "name": user}],
    }


POLICIES_RULES = [
    {
        "apiGroups": [""],
        "resources": ["endpoints", "namespaces", "nodes", "pods", "services"],
        "verbs": ["get", "list", "watch"],
    },
    {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": ["networking.k8s.io"], "resources": ["networkpolicies"], "verbs": ["list", "watch"]},
]
"""What kube-router may read to enforce NetworkPolicies."""

ACCESS: Sequence[dict[str, Any]] = (
    # The right to read logs and to exec goes to the API server's client certificate.
    _binding("local-cluster:apiserver-to-kubelet", "system:kubelet-api-admin", pki.KUBELET_CLIENT.common_name),
    {
        "apiVersion": f"{_RBAC}/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "local-cluster:policies"},
        "rules": POLICIES_RULES,
    },
    _binding("local-cluster:policies", "local-cluster:policies", pki.POLICIES.common_name),
)
"""The rights of components that Kubernetes does not give them itself."""


@dataclass(frozen=True)
class ApiServer:
    """The settings in which API servers differ. `address` is the IP where it listens and which it announces."""

    address: str
    port: int
    pki: Pki
    etcd_socket: Path
    audit_policy: Path
    audit_log: Path

    @property
    def url(self) -> str:
        return f"https://{self.address}:{self.port}"


def etcd_command(binary: Path, data: Path, sockets: Path, extra: Sequence[str] = ()) -> list[str]:
    """etcd with one member on Unix sockets (`client` and `peer` in `sockets`).

    Nobody but the directory's owner can reach it, and it takes no ports. It does not sync to disk, unless `extra`
    says --unsafe-no-fsync=false: the data is not meant to outlive the machine.
    """
    # The address for other members. There are none, but it must look like an address.
    advertised = "http://localhost:1"
    return [
        str(binary),
        "--name=local",
        f"--data-dir={data}",
        f"--listen-client-urls=unix://{sockets}/client",
        f"--advertise-client-urls={advertised}",
        f"--listen-peer-urls=unix://{sockets}/peer",
        f"--initial-advertise-peer-urls={advertised}",
        f"--initial-cluster=local={advertised}",
        "--unsafe-no-fsync",
        "--logger=zap",
        "--log-level=warn",
        *extra,
    ]


def apiserver_command(binary: Path, server: ApiServer, extra: Sequence[str] = ()) -> list[str]:
    """kube-apiserver with RBAC, the Node authorizer and restriction, webhook-free, and an audit log."""
    certificates = server.pki
    return [
        str(binary),
        f"--etcd-servers=unix://{server.etcd_socket}",
        f"--bind-address={server.address}",
        f"--advertise-address={server.address}",
        f"--secure-port={server.port}",
        f"--service-cluster-ip-range={SERVICE_CIDR}",
        f"--tls-cert-file={certificates.certificate('apiserver')}",
        f"--tls-private-key-file={certificates.key('apiserver')}",
        f"--client-ca-file={certificates.ca}",
        f"--kubelet-client-certificate={certificates.certificate(pki.KUBELET_CLIENT.name)}",
        f"--kubelet-client-key={certificates.key(pki.KUBELET_CLIENT.name)}",
        f"--kubelet-certificate-authority={certificates.ca}",
        # No DNS server resolves the node's name.
        "--kubelet-preferred-address-types=InternalIP",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={certificates.service_account_public}",
        f"--service-account-signing-key-file={certificates.service_account_key}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        f"--audit-policy-file={server.audit_policy}",
        f"--audit-log-path={server.audit_log}",
        # MiB. Tests count the writes in it; a rotation in between would hide a part of them.
        "--audit-log-maxsize=1024",
        "--audit-log-maxbackup=1",
        *extra,
    ]


def controller_manager_command(binary: Path, kubeconfig: Path, pki: Pki, extra: Sequence[str] = ()) -> list[str]:
    """kube-controller-manager without a port of its own; each controller uses its own service account."""
    return [
        str(binary),
        f"--kubeconfig={kubeconfig}",
        "--secure-port=0",
        "--leader-elect=false",
        "--use-service-account-credentials",
        f"--service-account-private-key-file={pki.service_account_key}",
        f"--root-ca-file={pki.ca}",
        *extra,
    ]


def scheduler_command(binary: Path, kubeconfig: Path, extra: Sequence[str] = ()) -> list[str]:
    """kube-scheduler without a port of its own."""
    return [str(binary), f"--kubeconfig={kubeconfig}", "--secure-port=0", "--leader-elect=false", *extra]
