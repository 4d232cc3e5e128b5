"""Both ends of the connections in the table, with the labels from chart and operator."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sandbox_crds.models import Sandbox, SandboxClass
from sandbox_operator.builders.pod import build_pod

NAMESPACE = "openhands"
PROFILES: Mapping[str, Any] = {
    "Internet": {"internet": True},
    "model": {"cidrs": ["10.20.0.0/24"], "ports": [{"port": 8000}]},
}
"""The chart's default, and one that lists an address range of the cluster's own network."""
VALUES: Mapping[str, Any] = {
    "gateway": {"baseDomain": "sandboxes.example.com"},
    "networkPolicy": {"egressProfiles": PROFILES},
}


@dataclass(frozen=True)
class Peer:
    """A pod, or without a namespace an address outside of all pods."""

    name: str
    address: str
    namespace: str = ""
    labels: Mapping[str, str] | None = None
    ports: Mapping[int, str] | None = None

    def described(self) -> dict[str, Any]:
        """In cyclonus' form."""
        internal = {
            "Namespace": self.namespace,
            "NamespaceLabels": {"kubernetes.io/metadata.name": self.namespace},
            "PodLabels": dict(self.labels or {}),
        }
        return {"IP": self.address, "Internal": internal if self.namespace else None}


@dataclass(frozen=True)
class Door:
    """The destination of a connection: a peer's port."""

    name: str
    peer: Peer
    port: int
    protocol: str = "TCP"

    def from_(self, source: Peer) -> dict[str, Any]:
        """The connection from this source, in cyclonus' form."""
        return {
            "Source": source.described(),
            "Destination": self.peer.described(),
            "ResolvedPort": self.port,
            "ResolvedPortName": (self.peer.ports or {}).get(self.port, ""),
            "Protocol": self.protocol,
        }


def sandbox(name: str, egress: str, *, port: int = 60000, address: str = "10.244.0.20") -> Peer:
    """The operator's pod of a sandbox with this egress profile."""
    spec = {"image": "agent:1", "command": ["agent-server", "--port", str(port)]}
    made = Sandbox.model_validate({"metadata": {"name": "one", "namespace": NAMESPACE, "uid": "u"}, "spec": spec})
    pod = build_pod(made, SandboxClass.model_validate({"spec": {"egress": egress}}))
    [container] = pod["spec"]["containers"]
    ports = {entry["containerPort"]: entry["name"] for entry in container["ports"]}
    return Peer(name, address, NAMESPACE, pod["metadata"]["labels"], ports)


def component(manifests: Sequence[Mapping[str, Any]], name: str, address: str) -> Peer:
    """A pod of the chart's operator or gateway."""
    [template] = [
        item["spec"]["template"]
        for item in manifests
        if item["kind"] == "Deployment" and item["metadata"]["labels"]["app.kubernetes.io/component"] == name
    ]
    return Peer(name, address, NAMESPACE, template["metadata"]["labels"])


DNS = Peer("DNS", "10.244.0.2", "kube-system", {"k8s-app": "kube-dns"})
NEIGHBOUR = Peer("a pod of this namespace", "10.244.0.30", NAMESPACE, {"app": "web"})
ELSEWHERE = Peer("a pod of another namespace", "10.244.0.40", "other", {"app": "web"})
OUTSIDE = Peer("an address outside", "203.0.113.80")


def sources(manifests: Sequence[Mapping[str, Any]]) -> list[Peer]:
    """All sources."""
    return [
        OUTSIDE,
        ELSEWHERE,
        NEIGHBOUR,
        component(manifests, "gateway", "10.244.0.10"),
        component(manifests, "operator", "10.244.0.11"),
        sandbox("sandbox, `Internet`", "Internet"),
        sandbox("sandbox, `model`", "model"),
        sandbox("sandbox, `None`", "None"),
        sandbox("sandbox, unknown profile", "misspelt"),
    ]


def doors(manifests: Sequence[Mapping[str, Any]]) -> list[Door]:
    """All destinations."""
    gateway, operator = component(manifests, "gateway", "10.244.0.12"), component(manifests, "operator", "10.244.0.13")
    box = sandbox("sandbox", "Internet", address="10.244.0.21")
    other = sandbox("sandbox", "Internet", port=8123, address="10.244.0.22")
    return [
        Door("gateway, for clients", gateway, 8080),
        Door("gateway, probes and metrics", gateway, 8081),
        Door("operator, probes and metrics", operator, 8081),
        Door("sandbox, agent server", box, 60000),
        Door("sandbox, agent server at another port", other, 8123),
        Door("sandbox, agent server's port by UDP", box, 60000, "UDP"),
        Door("sandbox, VSCode", box, 60001),
        Door("sandbox, work host", box, 12000),
        Door("sandbox, a port that it does not declare", box, 9999),
        Door("a pod of this namespace", NEIGHBOUR, 8000),
        Door("a pod of another namespace", ELSEWHERE, 8000),
        Door("cluster DNS", DNS, 53, "UDP"),
        Door("DNS of the internet, 8.8.8.8", Peer("DNS", "8.8.8.8"), 53, "UDP"),
        Door("internet, 1.1.1.1", Peer("internet", "1.1.1.1"), 443),
        Door("internet, 2606:4700::1111", Peer("internet", "2606:4700::1111"), 80),
        Door("API server, 10.0.0.2", Peer("API server", "10.0.0.2"), 6443),
        Door("API server's Service, 10.96.0.1", Peer("API server", "10.96.0.1"), 443),
        Door("kubelet of a node, 10.0.0.3", Peer("node", "10.0.0.3"), 10250),
        Door("another port of a node, 10.0.0.3", Peer("node", "10.0.0.3"), 9100),
        Door("cloud metadata, 169.254.169.254", Peer("metadata", "169.254.169.254"), 80),
        Door("cloud metadata, fd00:ec2::254", Peer("metadata", "fd00:ec2::254"), 80),
        Door("private network, 192.168.1.1", Peer("router", "192.168.1.1"), 80),
        Door("listed range, 10.20.0.7", Peer("model", "10.20.0.7"), 8000),
        Door("listed range, another port", Peer("model", "10.20.0.7"), 22),
    ]
