"""The pods of the chart: hardened, and wired to what they need."""

from typing import Any

import pytest
from pydantic_settings import BaseSettings

from sandbox_gateway.settings import Settings as GatewaySettings
from sandbox_operator.settings import Settings as OperatorSettings
from unit.helm.rendering import CHART, NAMESPACE, PREFIX, Helm, Manifest, find, pod_templates

COMPONENT = "app.kubernetes.io/component"
COMPONENTS = ("operator", "gateway", "test")
# https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
RESTRICTED_VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}


def test_gateways_are_as_many_as_the_chart_says_or_left_alone(helm: Helm) -> None:
    def shown(gateway: dict[str, Any]) -> tuple[Any, Any, int]:
        rendered = helm.render({"gateway": gateway})
        budgets = [item["spec"] for item in rendered if item["kind"] == "PodDisruptionBudget"]
        of_gateway = [each for each in budgets if each["selector"]["matchLabels"][COMPONENT] == "gateway"]
        budget: dict[str, Any] = of_gateway[0] if of_gateway else {}
        scalers = [item for item in rendered if item["kind"] == "HorizontalPodAutoscaler"]
        replicas = find(rendered, "Deployment", "gateway")["spec"].get("replicas")
        return replicas, {name: budget[name] for name in budget if name.endswith("vailable")}, len(scalers)

    assert shown({}) == (2, {"minAvailable": 1}, 0)
    assert shown({"replicas": 1}) == (1, {}, 0)
    assert shown({"replicas": None}) == (None, {"maxUnavailable": 1}, 0)
    assert shown({"replicas": 1, "autoscaling": {"enabled": True}}) == (None, {"maxUnavailable": 1}, 1)


def test_all_pods_are_here(defaults: list[Manifest]) -> None:
    assert set(pod_templates(defaults)) == set(COMPONENTS)


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_pod_is_restricted(defaults: list[Manifest], component: str) -> None:
    spec = pod_templates(defaults)[component]["spec"]
    assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & set(spec)
    for volume in spec["volumes"]:
        assert set(volume) - {"name"} <= RESTRICTED_VOLUMES
    context = spec["securityContext"]
    assert context["runAsNonRoot"] is True
    assert context["runAsUser"] == context["runAsGroup"] == context["fsGroup"] == 65532
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    [container] = spec["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not [port for port in container.get("ports", []) if "hostPort" in port]
    assert spec["enableServiceLinks"] is False
    # Only what talks to the API server has a token.
    assert spec["automountServiceAccountToken"] is (component != "test")
    assert container["resources"]["requests"]
    assert container["resources"]["limits"]["memory"]


@pytest.mark.parametrize("component", COMPONENTS)
def test_keys_are_read_from_files_that_the_process_may_read(defaults: list[Manifest], component: str) -> None:
    spec = pod_templates(defaults)[component]["spec"]
    [volume] = [volume for volume in spec["volumes"] if {"secret", "projected"} & set(volume)]
    # root and fsGroup
    assert volume["projected" if component == "gateway" else "secret"]["defaultMode"] == 0o440
    [container] = spec["containers"]
    assert [mount for mount in container["volumeMounts"] if mount["name"] == volume["name"] and mount["readOnly"]]
    assert not [variable for variable in container.get("env", []) if "secretKeyRef" in variable.get("valueFrom", {})]


@pytest.mark.parametrize("component", ["operator", "gateway"])
def test_environment_and_probes(defaults: list[Manifest], component: str) -> None:
    [container] = pod_templates(defaults)[component]["spec"]["containers"]
    assert container["command"] == [f"sandbox-{component}"]
    environment = {variable["name"]: variable.get("value") for variable in container["env"]}
    prefix = f"SANDBOX_{component.upper()}_"
    assert all(name.startswith(prefix) for name in environment)
    [mount] = [mount for mount in container["volumeMounts"] if mount["name"] == "master-key"]
    assert environment[f"{prefix}MASTER_KEY_DIR"] == mount["mountPath"]
    ports = {port["name"]: str(port["containerPort"]) for port in container["ports"]}
    assert environment[f"{prefix}HEALTH_PORT"] == ports["health"]
    for probe, path in {"livenessProbe": "/healthz", "readinessProbe": "/readyz"}.items():
        assert container[probe]["httpGet"] == {"path": path, "port": "health"}
    if component == "gateway":
        assert environment[f"{prefix}LISTEN_PORT"] == ports["http"]


@pytest.mark.parametrize(("component", "settings"), [("operator", OperatorSettings), ("gateway", GatewaySettings)])
def test_the_processes_know_their_environment(
    helm: Helm, monkeypatch: pytest.MonkeyPatch, component: str, settings: type[BaseSettings]
) -> None:
    url = "https://boxes.example.com:8443"
    gateway = {
        "baseDomain": "boxes.example.com",
        "publicURL": url,
        "sandboxClass": "large",
        "registryPrefix": "ghcr.io/team",
        "imageRegistries": ["ghcr.io"],
        "trustedProxies": ["10.0.3.0/24", "fd00:3::/64"],
    }
    manifests = helm.render({"gateway": gateway, "log": {"level": "DEBUG", "format": "console"}})
    [container] = pod_templates(manifests)[component]["spec"]["containers"]
    prefix = f"SANDBOX_{component.upper()}_"
    for variable in container["env"]:
        monkeypatch.setenv(variable["name"], variable.get("value", "a-namespace"))
    read = settings().model_dump(mode="json")
    given = {variable["name"].removeprefix(prefix).lower(): variable for variable in container["env"]}
    assert set(given) <= set(read), "a variable that the process does not read"
    for name, variable in given.items():
        found = str(read[name]).lower() if isinstance(read[name], bool) else str(read[name]).removesuffix(".0")
        value = ",".join(read[name]) if isinstance(read[name], list) else found
        assert value == variable.get("value", "a-namespace")


@pytest.mark.parametrize("component", ["operator", "gateway"])
def test_traces_go_to_the_collector_that_is_named(helm: Helm, defaults: list[Manifest], component: str) -> None:
    def variables(manifests: list[Manifest]) -> list[dict[str, Any]]:
        environment = pod_templates(manifests)[component]["spec"]["containers"][0]["env"]
        return [entry for entry in environment if entry["name"].startswith(("OTEL_", "POD_"))]

    assert variables(defaults) == []
    tracing = {"endpoint": "http://collector.monitoring.svc:4318", "sampleRatio": 0.05}
    assert variables(helm.render({"tracing": tracing})) == [
        {"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": "http://collector.monitoring.svc:4318"},
        {"name": "OTEL_TRACES_SAMPLER", "value": "parentbased_traceidratio"},
        {"name": "OTEL_TRACES_SAMPLER_ARG", "value": "0.05"},
        {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {
            "name": "OTEL_RESOURCE_ATTRIBUTES",
            "value": "k8s.namespace.name=agents,k8s.pod.name=$(POD_NAME)",
        },
    ]


def test_the_gateway_ends_before_it_is_killed(defaults: list[Manifest]) -> None:
    spec = pod_templates(defaults)["gateway"]["spec"]
    [container] = spec["containers"]
    environment = {variable["name"]: variable.get("value") for variable in container["env"]}
    grace = int(environment["SANDBOX_GATEWAY_SHUTDOWN_GRACE_SECONDS"])
    assert container["lifecycle"]["preStop"]["sleep"]["seconds"] + grace < spec["terminationGracePeriodSeconds"]


def test_the_service_reaches_the_gateway(defaults: list[Manifest]) -> None:
    service = find(defaults, "Service", "gateway")["spec"]
    template = pod_templates(defaults)["gateway"]
    assert service["selector"].items() <= template["metadata"]["labels"].items()
    assert not service["selector"].items() <= pod_templates(defaults)["operator"]["metadata"]["labels"].items()
    [port] = service["ports"]
    assert port["targetPort"] in [named["name"] for named in template["spec"]["containers"][0]["ports"]]


def test_the_operator_asks_every_gateway(defaults: list[Manifest]) -> None:
    service = find(defaults, "Service", "peers")
    spec = service["spec"]
    assert (spec["clusterIP"], spec["publishNotReadyAddresses"]) == ("None", True)
    assert spec["selector"] == find(defaults, "Service", "gateway")["spec"]["selector"]
    [container] = pod_templates(defaults)["operator"]["spec"]["containers"]
    peers = {variable["name"]: variable.get("value") for variable in container["env"]}["SANDBOX_OPERATOR_GATEWAY_PEERS"]
    assert peers == f"{service['metadata']['name']}.{NAMESPACE}.svc:{spec['ports'][0]['port']}"


def test_selectors_match_their_own_pods(defaults: list[Manifest]) -> None:
    for component in ("operator", "gateway"):
        spec = find(defaults, "Deployment", component)["spec"]
        assert spec["selector"]["matchLabels"].items() <= spec["template"]["metadata"]["labels"].items()
        assert spec["selector"]["matchLabels"]["app.kubernetes.io/component"] == component
        assert find(defaults, "PodDisruptionBudget", component)["spec"]["selector"] == spec["selector"]
        [spread] = spec["template"]["spec"]["topologySpreadConstraints"]
        assert spread["labelSelector"] == spec["selector"]


def test_the_operators_of_a_release_share_a_lease(defaults: list[Manifest]) -> None:
    assert find(defaults, "Deployment", "operator")["spec"]["replicas"] == 2
    [container] = pod_templates(defaults)["operator"]["spec"]["containers"]
    environment = {variable["name"]: variable.get("value") for variable in container["env"]}
    named = [rule["resourceNames"] for rule in find(defaults, "Role", "operator")["rules"] if "resourceNames" in rule]
    assert named == [[environment["SANDBOX_OPERATOR_LEASE_NAME"]]]


def test_a_single_replica_does_not_block_the_drain_of_its_node(helm: Helm) -> None:
    manifests = helm.render({"gateway": {"replicas": 1}, "operator": {"replicas": 1}})
    assert not [item for item in manifests if item["kind"] == "PodDisruptionBudget"]


def test_the_check_is_the_file_that_is_tested(defaults: list[Manifest]) -> None:
    script = find(defaults, "ConfigMap", "test")["data"]["check_installation.py"]
    assert script.rstrip() == (CHART / "files" / "check_installation.py").read_text().rstrip()
    [container] = pod_templates(defaults)["test"]["spec"]["containers"]
    assert f"--gateway=http://{PREFIX}-gateway.agents.svc:80" in container["command"]


@pytest.mark.parametrize(
    ("release", "values", "prefix"),
    [
        ("openhands-sandbox", {}, "openhands-sandbox"),
        ("my-openhands-sandbox-2", {}, "my-openhands-sandbox-2"),
        ("team", {}, "team-openhands-sandbox"),
        ("team", {"nameOverride": "boxes"}, "team-boxes"),
        ("team", {"fullnameOverride": "boxes"}, "boxes"),
        ("r" * 53, {}, "r" * 50),
        ("r" * 49, {}, "r" * 49),
    ],
)
def test_names_follow_the_release_and_stay_dns_labels(
    helm: Helm, release: str, values: dict[str, str], prefix: str
) -> None:
    text = helm.run("template", release, str(CHART), "--show-only", "templates/gateway/service.yaml", values=values)
    assert f"\n  name: {prefix}-gateway\n" in text
    assert len(f"{prefix}-api-key-hash") <= 63
