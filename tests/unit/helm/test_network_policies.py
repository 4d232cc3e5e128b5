"""NetworkPolicies: who is selected, and what is open. Whether they hold is up to a cluster's network plugin."""

import ipaddress
from typing import Any

import pytest

from sandbox_common import service_ports
from sandbox_crds.api import EGRESS_LABEL, IMAGES_LABEL, SANDBOX_LABEL
from unit.helm.rendering import Helm, Manifest, find, pod_templates

ANY_SANDBOX = {"matchExpressions": [{"key": SANDBOX_LABEL, "operator": "Exists"}]}


def policy(manifests: list[Manifest], suffix: str) -> dict[str, Any]:
    return find(manifests, "NetworkPolicy", suffix)["spec"]


def internet(manifests: list[Manifest]) -> list[dict[str, Any]]:
    """The address blocks that sandboxes of the profile Internet may reach."""
    rules = policy(manifests, "egress-internet")["egress"]
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


def test_every_pod_is_closed_both_ways_and_profiles_only_add(defaults: list[Manifest]) -> None:
    policies = {item["metadata"]["name"]: item["spec"] for item in defaults if item["kind"] == "NetworkPolicy"}
    profiles = {name: spec for name, spec in policies.items() if "-egress-" in name}
    assert (len(policies), len(profiles)) == (5, 1)
    for name, spec in policies.items():
        assert spec["policyTypes"] == (["Egress"] if name in profiles else ["Ingress", "Egress"])


def test_pods_that_keep_images_reach_nothing_and_nothing_reaches_them(defaults: list[Manifest]) -> None:
    selector = {"matchExpressions": [{"key": IMAGES_LABEL, "operator": "Exists"}]}
    closed = {"podSelector": selector, "policyTypes": ["Ingress", "Egress"], "ingress": [], "egress": []}
    assert policy(defaults, "images") == closed


def test_only_gateway_and_operator_reach_sandboxes(defaults: list[Manifest]) -> None:
    spec = policy(defaults, "sandboxes")
    assert (spec["podSelector"], spec["egress"]) == (ANY_SANDBOX, [])
    [rule] = spec["ingress"]
    assert rule["ports"] == [{"port": "http"}]
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


COLLECTOR = {"tracing": {"endpoint": "http://collector.monitoring.svc:4318"}}


@pytest.mark.parametrize("component", ["operator", "gateway"])
def test_only_with_an_endpoint_a_collector_is_reached(helm: Helm, defaults: list[Manifest], component: str) -> None:
    without = policy(defaults, component)["egress"]
    with_any = policy(helm.render(COLLECTOR), component)["egress"]
    assert [rule for rule in with_any if rule not in without] == [{"ports": [{"port": 4318, "protocol": "TCP"}]}]
    peers = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]
    narrow = {**COLLECTOR, "networkPolicy": {"collector": {"to": peers, "ports": [4317, 4318]}}}
    [rule] = [rule for rule in policy(helm.render(narrow), component)["egress"] if rule not in without]
    assert (rule["to"], [port["port"] for port in rule["ports"]]) == (peers, [4317, 4318])


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
    assert all(
        "203.0.113.0/24" in block["except"] or "2001:db8::/32" in block["except"] for block in internet(manifests)
    )
    assert not reachable(manifests, "203.0.113.9")
    assert not reachable(manifests, "2001:db8::9")
    assert not reachable(manifests, "10.0.0.1")
    assert reachable(manifests, "203.0.114.1")


def test_the_gateway_reaches_services_in_host_mode(helm: Helm) -> None:
    _, services = policy(helm.render({"gateway": {"baseDomain": "boxes.example.com"}}), "sandboxes")["ingress"]
    assert [port["port"] for port in services["ports"]] == list(service_ports.VARIABLES)
    assert len(services["from"]) == 1


def profile(helm: Helm, **fields: Any) -> list[dict[str, Any]]:
    """Egress rules of a profile with these fields."""
    manifests = helm.render({"networkPolicy": {"egressProfiles": {"Model": fields}}})
    spec = policy(manifests, "egress-model")
    assert spec["podSelector"] == {"matchLabels": {EGRESS_LABEL: "Model"}, **ANY_SANDBOX}
    return spec["egress"]


def test_a_profile_has_dns_its_ranges_and_its_rules(helm: Helm) -> None:
    extra = {"to": [{"podSelector": {"matchLabels": {"app": "model"}}}]}
    dns, listed, added = profile(helm, cidrs=["10.1.0.0/16", "fd12::/32"], ports=[{"port": 443}], rules=[extra])
    assert {port["port"] for port in dns["ports"]} == {53}
    assert listed == {
        "to": [{"ipBlock": {"cidr": "10.1.0.0/16"}}, {"ipBlock": {"cidr": "fd12::/32"}}],
        "ports": [{"port": 443}],
    }
    assert added == extra


def test_a_profile_may_be_empty_or_without_dns(helm: Helm) -> None:
    [dns] = profile(helm)
    assert {port["port"] for port in dns["ports"]} == {53}
    assert profile(helm, dns=False) == []
    [internet_] = profile(helm, dns=False, internet=True, ports=[{"port": 443, "protocol": "TCP"}])
    assert [port["port"] for port in internet_["ports"]] == [443]


def test_the_default_profile_can_be_removed(helm: Helm) -> None:
    manifests = helm.render({"networkPolicy": {"egressProfiles": {"Internet": None}}})
    names = [item["metadata"]["name"] for item in manifests if item["kind"] == "NetworkPolicy"]
    assert not [name for name in names if "-egress-" in name]


CIDRS = ["10.0.0.0/8", "11.0.0.0/8", "169.1.0.0/16", "192.168.1.1/32", "168.63.0.0/24", "fd00:1::/32"]


def test_ranges_that_are_taken(helm: Helm) -> None:
    _, listed = profile(helm, cidrs=CIDRS)
    assert [peer["ipBlock"]["cidr"] for peer in listed["to"]] == CIDRS


def test_they_can_be_left_out(helm: Helm) -> None:
    manifests = helm.render({"networkPolicy": {"enabled": False}})
    assert not [item for item in manifests if item["kind"] == "NetworkPolicy"]
