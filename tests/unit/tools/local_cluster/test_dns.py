import pytest

from local_cluster.dns import Wildcard, upstreams
from local_cluster.errors import ClusterError


@pytest.mark.parametrize(
    ("resolv_conf", "servers"),
    [
        ("", []),
        ("nameserver 192.0.2.1\n", ["192.0.2.1"]),
        ("search example.org\n  nameserver   192.0.2.1\nnameserver 192.0.2.2 # two\n", ["192.0.2.1", "192.0.2.2"]),
        ("# nameserver 192.0.2.1\n", []),
        ("nameserver 127.0.0.53\nnameserver 192.0.2.1\n", ["192.0.2.1"]),
        ("nameserver fe80::1%eth0\n", []),
    ],
)
def test_only_name_servers_that_another_namespace_can_reach_are_upstreams(resolv_conf: str, servers: list[str]) -> None:
    assert upstreams(resolv_conf) == servers


@pytest.mark.parametrize("domain", ["sandbox.test", "a.b.c", "x-1.example", f"{'a' * 63}.test"])
def test_domains_are_taken(domain: str) -> None:
    assert Wildcard(domain, "10.96.0.20").domain == domain


@pytest.mark.parametrize(
    "domain",
    [
        "",
        "test",
        "Sandbox.test",
        "sandbox.test.",
        "*.sandbox.test",
        "-a.test",
        "a-.test",
        "a b.test",
        "a.test\n}",
        f"{'a' * 64}.test",
    ],
)
def test_what_is_no_domain_is_refused_with_an_example(domain: str) -> None:
    with pytest.raises(ClusterError, match="not a domain name") as refusal:
        Wildcard(domain, "10.96.0.20")
    assert "sandbox.test" in str(refusal.value)


@pytest.mark.parametrize("address", ["", "10.96.0", "10.96.0.256", "10.96.0.1\n", "fd00::1", "gateway", "010.1.1.1"])
def test_what_is_no_ipv4_address_is_refused(address: str) -> None:
    with pytest.raises(ClusterError, match="not an IPv4 address"):
        Wildcard("sandbox.test", address)
