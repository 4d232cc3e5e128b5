"""Ingress and HTTPRoute as the chart renders them, tried on the real API server with the Gateway API's definitions."""

import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from control_plane.helm.gateway_api import install_gateway_api
from local_cluster.build import binary, ensure
from local_cluster.control_plane import ControlPlane
from local_cluster.kubectl import environment
from local_cluster.progress import Progress
from unit.helm.rendering import Helm, Manifest

DOORS = ("Ingress", "HTTPRoute")
PARENT = {"name": "public", "namespace": "gateways"}
HEADER_MODE: dict[str, Any] = {
    "ingress": {"enabled": True},
    "httpRoute": {"enabled": True, "parentRefs": [PARENT]},
}
HOST_MODE: dict[str, Any] = {
    "gateway": {"baseDomain": "boxes.example.com", "publicURL": "https://runtime.example.com"},
    "ingress": {
        "enabled": True,
        "className": "nginx",
        "annotations": {"nginx.ingress.kubernetes.io/proxy-read-timeout": "86400"},
        "hosts": ["runtime.example.com"],
        "tls": {"secretName": "runtime-tls", "wildcardSecretName": "boxes-tls"},
    },
    "httpRoute": {
        "enabled": True,
        "annotations": {"example.com/team": "gateways"},
        "parentRefs": [{**PARENT, "sectionName": "https", "port": 443}],
        "hostnames": ["runtime.example.com"],
    },
}
BOTH = {**HOST_MODE, "gateway": {**HOST_MODE["gateway"], "tls": {"secretName": "gateway-tls"}}}


@pytest.fixture(scope="module")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    ensure(["helm"], Progress())
    return Helm(binary("helm"), tmp_path_factory.mktemp("helm"))


@pytest.fixture(scope="module")
def api_server(control_plane: ControlPlane) -> ControlPlane:
    install_gateway_api(control_plane)
    return control_plane


def doors(helm: Helm, values: dict[str, Any]) -> list[Manifest]:
    """What stands in front of the gateway, and its Service."""
    rendered = [item for item in helm.render(values) if item["kind"] in (*DOORS, "Service")]
    return [item for item in rendered if not item["metadata"]["name"].endswith("peers")]


def create(api_server: ControlPlane, item: Manifest) -> subprocess.CompletedProcess[str]:
    """As in a dry run of an install into the namespace `default`."""
    item["metadata"]["namespace"] = "default"
    command = [str(binary("kubectl")), "create", "--dry-run=server", "--validate=strict", "-f", "-"]
    env = environment(api_server.kubeconfig, "127.0.0.1")
    return subprocess.run(command, input=json.dumps(item), capture_output=True, text=True, env=env)


@pytest.mark.parametrize("values", [HEADER_MODE, HOST_MODE, BOTH], ids=["header mode", "host mode", "TLS behind it"])
def test_the_api_server_takes_them_and_they_lead_to_the_service(
    helm: Helm, api_server: ControlPlane, values: dict[str, Any]
) -> None:
    made = doors(helm, values)
    assert sorted(item["kind"] for item in made) == ["HTTPRoute", "Ingress", "Service"]
    for item in made:
        created = create(api_server, item)
        assert created.returncode == 0, created.stderr
    [route], [ingress], [service] = (
        [item for item in made if item["kind"] == kind] for kind in (*DOORS[::-1], "Service")
    )
    [port] = service["spec"]["ports"]
    [rule] = route["spec"]["rules"]
    assert rule["backendRefs"] == [{"name": service["metadata"]["name"], "port": port["port"]}]
    backends = [path["backend"]["service"] for one in ingress["spec"]["rules"] for path in one["http"]["paths"]]
    assert {json.dumps(backend) for backend in backends} == {
        json.dumps({"name": service["metadata"]["name"], "port": {"name": port["name"]}})
    }
    hosts = ["runtime.example.com", "*.boxes.example.com"] if values is not HEADER_MODE else []
    assert route["spec"].get("hostnames", []) == hosts
    assert [one["host"] for one in ingress["spec"]["rules"] if "host" in one] == hosts


def unknown_unit(route: Manifest) -> None:
    route["spec"]["rules"][0]["timeouts"]["request"] = "1 hour"


def bad_hostname(route: Manifest) -> None:
    route["spec"]["hostnames"] = ["https://runtime.example.com"]


def no_port(route: Manifest) -> None:
    del route["spec"]["rules"][0]["backendRefs"][0]["port"]


def unknown_field(route: Manifest) -> None:
    route["spec"]["rules"][0]["timeout"] = "0s"


@pytest.mark.parametrize(
    ("harm", "named"),
    [
        (unknown_unit, "timeouts.request"),
        (bad_hostname, "spec.hostnames"),
        (no_port, "Must have port for Service"),
        (unknown_field, 'unknown field "spec.rules[0].timeout"'),
    ],
)
def test_the_definitions_are_at_work(
    helm: Helm, api_server: ControlPlane, harm: Callable[[Manifest], None], named: str
) -> None:
    [route] = [item for item in doors(helm, HOST_MODE) if item["kind"] == "HTTPRoute"]
    harm(route)
    refused = create(api_server, route)
    assert (refused.returncode, named in refused.stderr) == (1, True), refused.stderr


def test_a_host_that_is_no_dns_name_is_refused_in_an_ingress(helm: Helm, api_server: ControlPlane) -> None:
    [ingress] = [item for item in doors(helm, HOST_MODE) if item["kind"] == "Ingress"]
    ingress["spec"]["rules"][0]["host"] = "a_b"
    refused = create(api_server, ingress)
    assert (refused.returncode, "spec.rules[0].host" in refused.stderr) == (1, True), refused.stderr


def test_neither_is_made_unless_asked_for(helm: Helm) -> None:
    assert [item["kind"] for item in doors(helm, {})] == ["Service"]
