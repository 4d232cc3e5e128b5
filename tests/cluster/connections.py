"""Real connections between stand-ins for the ends of the table of docs/network.md."""

import json
import subprocess
import time
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from demo.local_target import LocalTarget
from local_cluster.network import NODE_ADDRESS, Namespace
from local_cluster.node import DNS_IP, KUBELET_PORT
from reachability.ends import DNS, NAMESPACE, Door, Peer
from reachability.simulation import Matrix

# Answers on all given TCP ports (it accepts) and UDP ports (it sends back what comes).
SERVER = """
import socket, sys, threading
def udp(host, port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((host, port))
        while True:
            data, client = server.recvfrom(512)
            server.sendto(data, client)
def tcp(host, port):
    with socket.create_server((host, port), backlog=64) as server:
        while True:
            server.accept()[0].close()
# One socket for each address: a datagram is answered by the address that it was sent to.
for host in sys.argv[3:] or [""]:
    for serve, ports in zip((tcp, udp), sys.argv[1:3]):
        for port in ports.split(","):
            threading.Thread(target=serve, args=(host, int(port))).start()
"""
# Reads [[host, port, protocol], …] and says of each whether it answers. A closed one is refused or does not answer.
CLIENT = """
import json, socket, sys
from concurrent.futures import ThreadPoolExecutor
def tried(way):
    host, port, protocol = way
    try:
        if protocol == "TCP":
            socket.create_connection((host, port), timeout=3).close()
            return True
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(1)
            client.connect((host, port))
            for _ in range(3):
                try:
                    # A question for the root's name servers (RFC 1035): also a name server answers it.
                    client.send(bytes.fromhex("0001 0100 0001 0000 0000 0000 00 0002 0001"))
                    return bool(client.recv(512))
                except TimeoutError:
                    pass
    except OSError:
        pass
    return False
ways = json.load(sys.stdin)
with ThreadPoolExecutor(64) as pool:
    print(json.dumps(list(pool.map(tried, ways))))
"""
TCP_PORTS, UDP_PORTS = (8000, 8080, 8081, 8123, 9999, 12000, 60000, 60001), (60000,)
WORLD_TCP_PORTS, WORLD_UDP_PORTS = (22, 80, 443, 8000), (53,)
_NODE_PORT = 9100
_LINK = "ohs-world"
_NODE_SIDE, _WORLD_SIDE = "192.0.2.1", "192.0.2.2"


def is_tried(door: Door) -> bool:
    """The node has no IPv6."""
    return ip_address(door.peer.address).version == 4


@dataclass(frozen=True)
class Way:
    """One address of a door: that of its pod, of its Service, or its name, for which a source needs DNS."""

    door: Door
    host: str

    @property
    def is_name(self) -> bool:
        return not self.host[-1].isdigit()


class Stage:
    """Stand-ins for all peers: pods with their labels, and a network namespace for all addresses outside."""

    def __init__(self, target: LocalTarget, namespace: str, image: str, world: Namespace) -> None:
        self._target = target
        self._namespace = namespace
        self._image = image
        self._world = world
        self._pods: dict[tuple[str, str], str] = {}
        self._addresses: dict[str, str] = {}

    def namespace_of(self, peer: Peer) -> str:
        return self._namespace if peer.namespace == NAMESPACE else f"{self._namespace}-{peer.namespace}"

    def populate(self, peers: Sequence[Peer]) -> None:
        """Make a pod with a Service for each of these peers that is one, and wait for them."""
        pods = {_key(peer): peer for peer in peers if peer.namespace and peer != DNS}
        self._pods = {key: f"peer-{number}" for number, key in enumerate(pods)}
        items = [item for key, name in self._pods.items() for item in self._objects(pods[key], name)]
        self.apply(items)
        for namespace in {self.namespace_of(peer) for peer in pods.values()}:
            wait = ("wait", "--for=condition=Ready", "--timeout=120s", "pods", "--all")
            self._target.kubectl(*wait, f"--namespace={namespace}")
            listed = self._target.kubectl("get", "pods,services", f"--namespace={namespace}", "--output=json")
            for item in json.loads(listed)["items"]:
                kind, name = item["kind"], item["metadata"]["name"]
                self._addresses[f"{kind}/{name}"] = (
                    item["status"]["podIP"] if kind == "Pod" else item["spec"]["clusterIP"]
                )

    def apply(self, items: Sequence[Mapping[str, Any]]) -> None:
        body = {"apiVersion": "v1", "kind": "List", "items": items}
        self._target.kubectl("apply", "--filename=-", stdin=json.dumps(body))

    def _objects(self, peer: Peer, name: str) -> list[dict[str, Any]]:
        metadata = {"name": name, "namespace": self.namespace_of(peer)}
        command = ["python3", "-c", SERVER, *(",".join(map(str, ports)) for ports in (TCP_PORTS, UDP_PORTS))]
        container = {
            "name": "peer",
            "image": self._image,
            "imagePullPolicy": "Never",
            "command": command,
            "ports": [{"name": named, "containerPort": port} for port, named in (peer.ports or {}).items()],
            "readinessProbe": {"tcpSocket": {"port": TCP_PORTS[-1]}, "periodSeconds": 1},
        }
        spec = {
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 0,
            "containers": [container],
        }
        ports = [{"name": f"tcp-{port}", "port": port} for port in TCP_PORTS]
        ports += [{"name": f"udp-{port}", "port": port, "protocol": "UDP"} for port in UDP_PORTS]
        return [
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {**metadata, "labels": {**(peer.labels or {}), "peer": name}},
                "spec": spec,
            },
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": metadata,
                "spec": {"selector": {"peer": name}, "ports": ports},
            },
        ]

    def ways(self, door: Door) -> list[Way]:
        """All addresses of this door."""
        if door.peer == DNS:
            return [Way(door, DNS_IP)]
        if (name := self._pods.get(_key(door.peer))) is not None:
            hosts = [self._addresses[f"Pod/{name}"], self._addresses[f"Service/{name}"]]
            return [Way(door, host) for host in (*hosts, f"{name}.{self.namespace_of(door.peer)}.svc.cluster.local")]
        # The page names addresses of a cluster that is not this one.
        node = {KUBELET_PORT, _NODE_PORT, 6443}
        return [Way(door, NODE_ADDRESS if door.port in node else door.peer.address)]

    def tried(self, sources: Sequence[Peer], doors: Sequence[Door], *, named: Mapping[str, bool]) -> dict[str, Matrix]:
        """Which connections can be made: a matrix for each kind of address. `named`: which sources may use names."""
        ways = [way for door in doors for way in self.ways(door)]

        def of(source: Peer) -> list[tuple[Way, bool]]:
            mine = [way for way in ways if not way.is_name or (source.namespace and named[source.name])]
            asked = json.dumps([[way.host, way.door.port, way.door.protocol] for way in mine])
            done = subprocess.run(
                [*self._inside(source), "python3", "-c", CLIENT], input=asked, capture_output=True, text=True
            )
            assert done.returncode == 0, done.stderr
            return list(zip(mine, json.loads(done.stdout), strict=True))

        found: dict[str, Matrix] = {}
        with ThreadPoolExecutor(len(sources)) as pool:
            for source, results in zip(sources, pool.map(of, sources), strict=True):
                for way, open_ in results:
                    row = found.setdefault(self._kind(way), {}).setdefault(way.door.name, {})
                    row[source.name] = open_
        return found

    def _kind(self, way: Way) -> str:
        return "name" if way.is_name else "Service" if way.host in self._services() else "address"

    def _services(self) -> set[str]:
        return {address for key, address in self._addresses.items() if key.startswith("Service/")}

    def _inside(self, source: Peer) -> list[str]:
        if (name := self._pods.get(_key(source))) is None:
            return self._world.enter
        return self._target.kubectl_command("exec", "--stdin", f"--namespace={self.namespace_of(source)}", name, "--")


def _key(peer: Peer) -> tuple[str, str]:
    return peer.name, peer.address


@contextmanager
def world(node: Namespace, path: Path, addresses: Sequence[str]) -> Generator[Namespace]:
    """A network namespace with all these addresses. It is connected to the node's alone."""
    made = Namespace(path)
    made.create()
    try:
        node.run(["ip", "link", "add", _LINK, "type", "veth", "peer", "name", _LINK, "netns", str(made.path)])
        for side, own in ((node, _NODE_SIDE), (made, _WORLD_SIDE)):
            side.run(["ip", "address", "add", f"{own}/30", "dev", _LINK])
            side.run(["ip", "link", "set", _LINK, "up"])
        made.run(["ip", "link", "set", "lo", "up"])
        for address in addresses:
            made.run(["ip", "address", "add", f"{address}/32", "dev", "lo"])
            node.run(["ip", "route", "add", address, "via", _WORLD_SIDE])
        made.run(["ip", "route", "add", "default", "via", _NODE_SIDE, "src", addresses[0]])
        with (
            _serving(made, WORLD_TCP_PORTS, WORLD_UDP_PORTS, addresses),
            _serving(node, (_NODE_PORT,), (_NODE_PORT,), [NODE_ADDRESS]),
        ):
            yield made
    finally:
        subprocess.run([*node.enter, "ip", "link", "delete", _LINK], capture_output=True)
        subprocess.run(["umount", str(path)], check=True)


@contextmanager
def _serving(namespace: Namespace, tcp: Sequence[int], udp: Sequence[int], addresses: Sequence[str]) -> Generator[None]:
    """Listen at all these ports of all these addresses."""
    arguments = [*(",".join(map(str, ports)) for ports in (tcp, udp)), *addresses]
    with subprocess.Popen([*namespace.enter, "python3", "-c", SERVER, *arguments]) as server:
        try:
            own = f"pid={server.pid},"
            while namespace.run(["ss", "-Hlntp"]).count(own) < len(tcp) * len(addresses) and server.poll() is None:
                time.sleep(0.05)
            yield
        finally:
            server.kill()
