"""NetworkPolicies: who is selected, and what is open. Whether they hold is up to a cluster's network plugin."""

import ipaddress
from typing import Any

import pytest

from sandbox_crds.api import SANDBOX_LABEL
from unit.helm.rendering import Helm, Manifest, find, pod_templates

ANY_SANDBOX = {"matchExpressions": [{"key": SANDBOX_LABEL, "operator": "Exists"}]}


def policy(manifests: list[Manifest], suffix: str) -> dict[str, Any]:
    return find(manifests, "NetworkPolicy", suffix)["spec"]


def internet(manifests: list[Manifest]) -> list[dict[str, Any]]:
    """The address blocks that sandboxes may reach."""
    rules = policy(manifests, "sandboxes")["egress"]
    return [peer["ipBlock"] for rule in rules for peer in rule["to"] if "ipBlock" in peer]


def reachable(manifests: list[Manifest], address: str) -> bool:
    """Whether the blocks let a sandbox reach this address."""
    wanted = ipaddress.ip_address(address)
    return any(
        wanted in ipaddress.ip_network(block["cidr"])
        and not any(wanted in ipaddress.ip_network(hole) for hole in block["except"])
        for block in internet(manifests)
    )


def selected(manifests: list[Manifest], selector: dict[str, Any]) -> list[str]:
    """The release's own pods with these labels."""
    return [
        name
        for name, template in pod_templates(manifests).items()
        if selector["matchLabels"].items() <= template["metadata"]["labels"].items()
    ]


@pytest.mark.parametrize("component", ["operator", "gateway"])
def test_a_policy_selects_its_component_and_no_other(defaults: list[Manifest], component: str) -> None:
    assert selected(defaults, policy(defaults, component)["podSelector"]) == [component]


def test_every_policy_closes_both_ways(defaults: list[Manifest]) -> None:
    policies = [item["spec"] for item in defaults if item["kind"] == "NetworkPolicy"]
    assert len(policies) == 3
    assert all(spec["policyTypes"] == ["Ingress", "Egress"] for spec in policies)


def test_only_gateway_and_operator_reach_sandboxes(defaults: list[Manifest]) -> None:
    spec = policy(defaults, "sandboxes")
    assert spec["podSelector"] == ANY_SANDBOX
    [rule] = spec["ingress"]
    for peer, component in zip(rule["from"], ("gateway", "operator"), strict=True):
        assert set(peer) == {"podSelector"}  # without a namespace: the release's own
        assert selected(defaults, peer["podSelector"]) == [component]


def test_the_gateway_reaches_sandboxes_the_api_server_and_dns(defaults: list[Manifest]) -> None:
    spec = policy(defaults, "gateway")
    container = pod_templates(defaults)["gateway"]["spec"]["containers"][0]
    assert [rule["ports"] for rule in spec["ingress"]] == [
        [{"port": port["containerPort"], "protocol": "TCP"} for port in container["ports"]]
    ]
    sandboxes, api_server, dns = spec["egress"]
    assert sandboxes == {"to": [{"podSelector": ANY_SANDBOX}]}
    assert api_server == {"ports": [{"port": 443, "protocol": "TCP"}, {"port": 6443, "protocol": "TCP"}]}
    assert {port["port"] for port in dns["ports"]} == {53}


def test_the_operator_is_called_by_probes_alone(defaults: list[Manifest]) -> None:
    spec = policy(defaults, "operator")
    [port] = pod_templates(defaults)["operator"]["spec"]["containers"][0]["ports"]
    assert spec["ingress"] == [{"ports": [{"port": port["containerPort"], "protocol": "TCP"}]}]
    sandboxes, gateways, *rest = spec["egress"]
    assert sandboxes == {"to": [{"podSelector": ANY_SANDBOX}]}
    [gateway] = gateways["to"]
    assert selected(defaults, gateway["podSelector"]) == ["gateway"]
    assert gateways["ports"] == [{"port": 8081, "protocol": "TCP"}]
    assert rest == policy(defaults, "gateway")["egress"][1:]


def test_the_gateway_reaches_registries_only_where_it_shall_ask_them(helm: Helm) -> None:
    _, registries, *_ = policy(helm.render({"gateway": {"imageRegistries": ["ghcr.io"]}}), "gateway")["egress"]
    assert registries["ports"] == [{"port": 443, "protocol": "TCP"}]
    assert [peer["ipBlock"]["cidr"] for peer in registries["to"]] == ["0.0.0.0/0", "::/0"]
    assert all(
        "169.254.0.0/16" in block or "fe80::/10" in block
        for block in (peer["ipBlock"]["except"] for peer in registries["to"])
    )


@pytest.mark.parametrize(
    "address",
    [
        "10.96.0.1",
        "100.100.100.200",  # metadata of Alibaba Cloud
        "127.0.0.1",
        "168.63.129.16",  # Azure's host agent
        "169.254.169.254",
        "172.31.255.255",
        "192.0.0.192",  # metadata of Oracle Cloud
        "192.168.1.1",
        "198.18.0.2",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "64:ff9b::a9fe:a9fe",  # 169.254.169.254 through NAT64
        "fd00:ec2::254",  # metadata of AWS
        "fe80::1",
        "ff02::1",
    ],
)
def test_special_addresses_are_closed(defaults: list[Manifest], address: str) -> None:
    assert not reachable(defaults, address)


@pytest.mark.parametrize("address", ["1.1.1.1", "9.255.255.255", "11.0.0.0", "172.32.0.1", "2606:4700::1111"])
def test_the_internet_is_open(defaults: list[Manifest], address: str) -> None:
    assert reachable(defaults, address)


def test_holes_lie_inside_of_their_blocks(defaults: list[Manifest]) -> None:
    # The API server refuses others.
    for block in internet(defaults):
        outer = ipaddress.ip_network(block["cidr"])
        assert all(ipaddress.ip_network(hole).version == outer.version for hole in block["except"])


def test_more_can_be_closed(helm: Helm) -> None:
    sandbox = {"deniedCIDRs": ["203.0.113.0/24", "2001:db8::/32"]}
    manifests = helm.render({"networkPolicy": {"sandbox": sandbox}})
    assert not reachable(manifests, "203.0.113.9")
    assert not reachable(manifests, "2001:db8::9")
    assert not reachable(manifests, "10.0.0.1")
    assert reachable(manifests, "203.0.114.1")


def test_without_internet_only_dns_and_extra_rules_are_left(helm: Helm) -> None:
    extra = {"to": [{"podSelector": {"matchLabels": {"app": "model"}}}]}
    manifests = helm.render({"networkPolicy": {"sandbox": {"internet": False, "extraEgress": [extra]}}})
    dns, added = policy(manifests, "sandboxes")["egress"]
    assert {port["port"] for port in dns["ports"]} == {53}
    assert added == extra


def test_they_can_be_left_out(helm: Helm) -> None:
    manifests = helm.render({"networkPolicy": {"enabled": False}})
    assert not [item for item in manifests if item["kind"] == "NetworkPolicy"]
