"""The host's side of the node's network, in a network namespace that stands for the host.

Another namespace stands for the rest of the world, so that not one packet of these tests leaves the machine.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from local_cluster import egress, network
from local_cluster.errors import ClusterError
from local_cluster.network import Namespace, run
from local_cluster.paths import State

POD = "10.244.0.9"
HOST_OUTSIDE = "203.0.113.1"
SERVER = "203.0.113.2"
# Answers each connection with the address that it came from.
WHO_ASKS = f"""
import socket
with socket.create_server(("{SERVER}", 80)) as server:
    while True:
        connection, (address, _) = server.accept()
        with connection:
            connection.sendall(address.encode())
"""
ASK = f"""
import socket
print(socket.create_connection(("{SERVER}", 80), timeout=2, source_address=("{POD}", 0)).recv(100).decode(), end="")
"""


@pytest.fixture
def host() -> Iterator[None]:
    """A network namespace without anything for this test to take for the host's."""
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    os.unshare(os.CLONE_NEWNET)
    try:
        yield
    finally:
        os.setns(own, os.CLONE_NEWNET)
        os.close(own)


@pytest.fixture
def state(host: None, tmp_path: Path) -> Iterator[State]:
    """A cluster's state directory with its network namespace, which has a pod's address in it."""
    state = State(tmp_path)
    node = Namespace(state.namespace)
    network.guard_host()
    network.create(node)
    node.run(["ip", "address", "add", f"{POD}/32", "dev", "lo"])
    yield state
    run(["umount", str(state.namespace)])


@pytest.fixture
def ask(state: State, tmp_path: Path) -> Iterator[Callable[[], str]]:
    """Asks the rest of the world from a pod's address; gives what it answers, or nothing if it cannot be reached."""
    world = Namespace(tmp_path / "world")
    world.create()
    run(["ip", "link", "add", "outside", "type", "veth", "peer", "name", "inside", "netns", str(world.path)])
    run(["ip", "address", "add", f"{HOST_OUTSIDE}/24", "dev", "outside"])
    run(["ip", "link", "set", "outside", "up"])
    world.run(["ip", "address", "add", f"{SERVER}/24", "dev", "inside"])
    world.run(["ip", "link", "set", "inside", "up"])
    with subprocess.Popen([*world.enter, sys.executable, "-c", WHO_ASKS]) as server:

        def ask() -> str:
            command = [*Namespace(state.namespace).enter, sys.executable, "-c", ASK]
            return subprocess.run(command, capture_output=True, text=True).stdout

        while "LISTEN" not in world.run(["ss", "-ltn"]):
            assert server.poll() is None
            time.sleep(0.02)
        yield ask
        server.kill()
    run(["umount", str(world.path)])


@pytest.mark.parametrize("address", ["10.244.0.9", "10.244.255.1", "10.96.0.1"])
def test_nothing_leaves_the_host_for_pods_and_services(state: State, address: str) -> None:
    run(["ip", "route", "add", "default", "via", network.NODE_ADDRESS])
    run(["ip", "route", "get", "192.0.2.1"])  # anything else does leave
    with pytest.raises(ClusterError, match="No route to host"):
        run(["ip", "route", "get", address])


def test_everything_on_the_host_is_listed_until_it_is_gone(state: State) -> None:
    network.guard_host()  # again: it is there already
    assert network.leftovers() == ["link ohs-host", "route unreachable 10.244.0.0/16", "route unreachable 10.96.0.0/16"]
    network.delete_link()
    network.unguard_host()
    assert network.leftovers() == []
    network.delete_link()
    network.unguard_host()


@pytest.mark.parametrize("taken", ["10.244.0.0/16", "10.244.3.0/24"])
def test_a_range_that_the_host_uses_is_refused_and_left_alone(host: None, taken: str) -> None:
    run(["ip", "link", "set", "lo", "up"])
    run(["ip", "route", "add", taken, "dev", "lo"])
    with pytest.raises(ClusterError, match=r"within 10\.244\.0\.0/16") as refusal:
        network.guard_host()
    assert "CLUSTER=current" in str(refusal.value)
    assert taken in run(["ip", "route"])


def test_pods_have_no_way_out(ask: Callable[[], str]) -> None:
    assert ask() == ""


def test_with_egress_pods_reach_the_world_under_the_hosts_address_until_it_is_taken_back(
    state: State, ask: Callable[[], str]
) -> None:
    egress.FORWARDING.write_text("0")

    egress.enable(state, Namespace(state.namespace))
    assert ask() == HOST_OUTSIDE
    assert len(egress.leftovers(state)) == 3

    egress.disable(state)
    assert ask() == ""
    assert egress.leftovers(state) == []
    assert "openhands" not in run(["iptables-save"])
    assert egress.FORWARDING.read_text() == "0\n"
    egress.disable(state)
