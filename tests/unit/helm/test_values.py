"""values.yaml and values.schema.json: complete, explained, in step with the CRD, and strict."""

import json
from collections.abc import Iterator
from typing import Any, cast

import pytest
import yaml
from pydantic import ValidationError

from sandbox_common.api_keys import Limits, Policy
from sandbox_crds import image_patterns
from sandbox_crds.manifests import manifests
from unit.helm.rendering import CHART, Helm, RefusedError

SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())

COLLECTOR = {"endpoint": "http://collector.example.com:4318"}
BAD_COLLECTORS = ("collector:4318", "grpc://collector:4317", "http://user:password@collector", "http://a?b", "http://")
FORMER = {"/networkPolicy/sandbox": {"internet", "extraEgress"}}
"""What only values of earlier charts have."""

BAD_PODS: list[tuple[dict[str, Any], str]] = [
    ({"sidecars": [{"name": "a", "image": "i", "securityContext": {"privileged": True}}]}, "'securityContext'"),
    ({"sidecars": [{"name": "a"}]}, "missing property 'image'"),
    ({"volumes": [{"name": "a", "mountPath": "/a", "nfs": {}}]}, "'nfs' not allowed"),
    ({"volumes": [{"name": "A", "mountPath": "/a"}]}, "/pod/volumes/0/name"),
    ({"caBundle": {"secretName": "a"}}, "'secretName' not allowed"),
    ({"caBundle": {"configMapName": "a", "key": "../a"}}, "/pod/caBundle/key"),
    ({"topologySpreadConstraints": [{"maxSkew": 1}]}, "missing properties"),
    ({"omitIds": "yes"}, "/pod/omitIds"),
]
BAD: list[tuple[dict[str, Any], str]] = [
    ({"gatway": {}}, "additional properties 'gatway' not allowed"),
    ({"image": {"repository": ""}}, "/image/repository"),
    ({"image": {"repository": "has space"}}, "/image/repository"),
    ({"image": {"tag": "-bad"}}, "/image/tag"),
    ({"image": {"tag": 1.5}}, "/image/tag"),
    ({"image": {"pullPolicy": "Sometimes"}}, "/image/pullPolicy"),
    ({"imagePullSecrets": ["login"]}, "/imagePullSecrets/0"),
    ({"log": {"level": "debug"}}, "/log/level"),
    ({"log": {"format": "xml"}}, "/log/format"),
    ({"nameOverride": "Upper"}, "/nameOverride"),
    ({"fullnameOverride": "a.b"}, "/fullnameOverride"),
    ({"operator": {"replicas": 0}}, "/operator/replicas"),
    ({"operator": {"replicas": 11}}, "/operator/replicas"),
    ({"operator": {"resources": {"requests": {"memory": "1GB"}}}}, "/operator/resources/requests/memory"),
    ({"operator": {"tolerations": [{"effect": "Never"}]}}, "/operator/tolerations/0/effect"),
    ({"operator": {"podAnnotations": {"a": 1}}}, "/operator/podAnnotations/a"),
    ({"gateway": {"replicas": 0}}, "/gateway/replicas"),
    ({"gateway": {"replicas": "2"}}, "/gateway/replicas"),
    ({"gateway": {"autoscaling": {"enabled": True, "minReplicas": 0}}}, "/gateway/autoscaling/minReplicas"),
    ({"gateway": {"autoscaling": {"targetCPUUtilizationPercentage": "70%"}}}, "/targetCPUUtilizationPercentage"),
    ({"gateway": {"autoscaling": {"targetMemory": 1}}}, "'targetMemory' not allowed"),
    ({"gateway": {"autoscaling": {"enabled": True, "minReplicas": 11}}}, "minReplicas is more than maxReplicas"),
    (
        {"gateway": {"autoscaling": {"enabled": True}, "resources": {"requests": {"cpu": None}}}},
        "gateway.autoscaling: set gateway.resources.requests.cpu",
    ),
    ({"gateway": {"replicas": 1.5}}, "/gateway/replicas"),
    ({"gateway": {"workers": 0}}, "/gateway/workers"),
    ({"gateway": {"requestsPerSandbox": 0}}, "/gateway/requestsPerSandbox"),
    ({"gateway": {"websocketsPerSandbox": "many"}}, "/gateway/websocketsPerSandbox"),
    ({"gateway": {"accessLog": "some"}}, "/gateway/accessLog"),
    ({"gateway": {"auditLog": "false"}}, "/gateway/auditLog"),
    ({"gateway": {"baseDomain": "*.example.com"}}, "/gateway/baseDomain"),
    ({"gateway": {"baseDomain": "example.com:80"}}, "/gateway/baseDomain"),
    ({"gateway": {"baseDomain": "Example.com"}}, "/gateway/baseDomain"),
    ({"gateway": {"publicURL": "example.com"}}, "/gateway/publicURL"),
    ({"gateway": {"publicURL": "https://example.com/"}}, "/gateway/publicURL"),
    ({"gateway": {"publicURL": "https://example.com/api"}}, "/gateway/publicURL"),
    ({"gateway": {"publicURL": "https://user:password@example.com"}}, "/gateway/publicURL"),
    ({"gateway": {"sandboxClass": ""}}, "/gateway/sandboxClass"),
    ({"gateway": {"service": {"type": "ExternalName"}}}, "/gateway/service/type"),
    ({"gateway": {"service": {"port": 0}}}, "/gateway/service/port"),
    ({"gateway": {"service": {"type": "NodePort", "nodePort": 70000}}}, "/gateway/service/nodePort"),
    ({"gateway": {"service": {"nodePort": 30080}}}, "gateway.service.nodePort needs gateway.service.type"),
    ({"gateway": {"trustedProxies": ["10.0.0.1"]}}, "/gateway/trustedProxies/0"),
    ({"gateway": {"trustedProxies": ["10.0.0.0/33"]}}, "/gateway/trustedProxies/0"),
    ({"gateway": {"trustedProxies": ["fd00::/129"]}}, "/gateway/trustedProxies/0"),
    ({"gateway": {"trustedProxies": ["0.0.0.0/0"]}}, "/gateway/trustedProxies/0"),
    ({"gateway": {"trustedProxies": ["::/0"]}}, "/gateway/trustedProxies/0"),
    ({"gateway": {"trustedProxies": ["proxy.example.com"]}}, "/gateway/trustedProxies/0"),
    ({"gateway": {"trustedProxies": "10.0.0.0/8"}}, "/gateway/trustedProxies"),
    ({"gateway": {"requestsPerMinute": -1}}, "/gateway/requestsPerMinute"),
    ({"gateway": {"requestsPerMinute": 1000001}}, "/gateway/requestsPerMinute"),
    ({"gateway": {"tls": {"secretName": "Not A Name"}}}, "/gateway/tls/secretName"),
    ({"gateway": {"tls": {"crt": "x"}}}, "'crt' not allowed"),
    ({"ingress": {"enabled": "yes"}}, "/ingress/enabled"),
    ({"ingress": {"hosts": ["*.example.com"]}}, "/ingress/hosts/0"),
    ({"ingress": {"hosts": ["https://example.com"]}}, "/ingress/hosts/0"),
    ({"ingress": {"hosts": ["a.b", "a.b"]}}, "/ingress/hosts"),
    ({"ingress": {"tls": {"secretName": "A"}}}, "/ingress/tls/secretName"),
    ({"ingress": {"annotations": {"a": 1}}}, "/ingress/annotations/a"),
    ({"ingress": {"enabled": True}, "gateway": {"baseDomain": "b.test"}}, "ingress.hosts: name the host"),
    (
        {"ingress": {"enabled": True, "hosts": ["api.b.test"]}, "gateway": {"baseDomain": "b.test"}},
        "api.b.test is below gateway.baseDomain",
    ),
    ({"ingress": {"enabled": True, "tls": {"secretName": "a"}}}, "set gateway.publicURL to the https URL"),
    ({"ingress": {"enabled": True, "tls": {"wildcardSecretName": "a"}}}, "wildcardSecretName needs gateway.baseDomain"),
    ({"httpRoute": {"enabled": True}}, "httpRoute.parentRefs: name the Gateway"),
    ({"httpRoute": {"parentRefs": [{"namespace": "a"}]}}, "missing property 'name'"),
    ({"httpRoute": {"parentRefs": [{"name": "a", "port": 0}]}}, "/httpRoute/parentRefs/0/port"),
    ({"httpRoute": {"hostnames": ["a_b"]}}, "/httpRoute/hostnames/0"),
    (
        {"httpRoute": {"enabled": True, "parentRefs": [{"name": "a"}]}, "gateway": {"baseDomain": "b.test"}},
        "httpRoute.hostnames: name the host",
    ),
    ({"gateway": {"terminationGracePeriodSeconds": 14}}, "/gateway/terminationGracePeriodSeconds"),
    ({"gateway": {"affinity": {"nodeAfinity": {}}}}, "'nodeAfinity' not allowed"),
    ({"masterKey": {"existingSecret": "Not A Name"}}, "/masterKey/existingSecret"),
    ({"masterKey": {"value": "x"}}, "additional properties 'value' not allowed"),
    ({"apiKey": {"value": "short"}}, "/apiKey/value"),
    ({"apiKey": {"value": "x" * 31 + " "}}, "/apiKey/value"),
    ({"apiKey": {"owner": ""}}, "/apiKey/owner"),
    ({"apiKey": {"owner": " leading"}}, "/apiKey/owner"),
    ({"apiKey": {"owner": "x" * 254}}, "/apiKey/owner"),
    ({"apiKey": {"create": "no"}}, "/apiKey/create"),
    ({"apiKey": {"limits": {"runing": 1}}}, "'runing' not allowed"),
    ({"apiKey": {"limits": {"running": -1}}}, "/apiKey/limits/running"),
    ({"apiKey": {"limits": {"lifeSeconds": "1h"}}}, "/apiKey/limits/lifeSeconds"),
    ({"apiKey": {"images": ["ghcr.io/*", "Python:3"]}}, "/apiKey/images/1"),
    ({"apiKey": {"classes": ["Small"]}}, "/apiKey/classes/0"),
    ({"apiKey": {"expires": "2030-01-31"}}, "/apiKey/expires"),
    ({"apiKey": {"expires": "2030-02-31T24:00:00Z"}}, "/apiKey/expires"),
    ({"apiKey": {"value": "x" * 32, "existingSecret": "mine"}}, "apiKey.value and apiKey.existingSecret exclude"),
    ({"apiKey": {"create": False, "value": "x" * 32}}, "apiKey.create is false"),
    ({"apiKey": {"create": False, "existingSecret": "mine"}}, "apiKey.create is false"),
    ({"apiKey": {"existingSecret": "absent"}}, "apiKey.existingSecret: there is no Secret absent"),
    ({"allowedImages": "ghcr.io/*"}, "/allowedImages"),
    ({"allowedImages": ["*"]}, "/allowedImages/0"),
    ({"allowedImages": ["ghcr.io/*", "python:3"]}, "/allowedImages/1"),
    ({"allowedImages": ["GHCR.io/*"]}, "/allowedImages/0"),
    ({"allowedImages": ["ghcr.io/a:1@sha256:" + "0" * 64]}, "/allowedImages/0"),
    ({"allowedImages": ['ghcr.io/a" || true || "']}, "/allowedImages/0"),
    ({"allowedImages": ["ghcr.io/a,ghcr.io/b"]}, "/allowedImages/0"),
    ({"allowedImages": ["ghcr.io/a\n"]}, "/allowedImages/0"),
    ({"allowedImages": ["ghcr.io/" + "a" * 505]}, "/allowedImages/0"),
    ({"allowedImages": ["ghcr.io/*", "ghcr.io/*"]}, "/allowedImages"),
    ({"allowedImages": [f"ghcr.io/{number}" for number in range(101)]}, "/allowedImages"),
    ({"admissionPolicy": {"create": "yes"}}, "/admissionPolicy/create"),
    ({"admissionPolicy": True}, "/admissionPolicy"),
    ({"sandboxClasses": {"Default": {}}}, "/sandboxClasses"),
    ({"sandboxClasses": {"default": {"runtimeclasses": {}}}}, "'runtimeclasses' not allowed"),
    (
        {"sandboxClasses": {"default": {"resources": {"limits": {"cpu": 1}}}}},
        "/sandboxClasses/default/resources/limits",
    ),
    ({"sandboxClasses": {"default": {"workspace": {"size": "big"}}}}, "/sandboxClasses/default/workspace/size"),
    ({"sandboxClasses": {"default": {"env": [{"value": "x"}]}}}, "/sandboxClasses/default/env/0"),
    ({"sandboxClasses": {"default": {"startupTimeoutSeconds": 0}}}, "/startupTimeoutSeconds"),
    ({"sandboxClasses": {"default": {"agentServer": {}}}}, "missing property 'image'"),
    ({"sandboxClasses": {"default": {"agentServer": {"image": "A:b"}}}}, "/default/agentServer/image"),
    ({"sandboxClasses": {"default": {"agentServer": {"image": "a", "delivery": "Link"}}}}, "/agentServer/delivery"),
    ({"sandboxClasses": {"default": {"agentServer": {"image": "a", "entrypoint": "/a"}}}}, "/agentServer/entrypoint"),
    ({"anyImage": {"agentServerImage": "has space"}}, "/anyImage/agentServerImage"),
    ({"anyImage": {"delivery": ""}}, "/anyImage/delivery"),
    ({"anyImage": {"agentServer": {}}}, "'agentServer' not allowed"),
    ({"sandboxClasses": {"default": {"egress": "a b"}}}, "/sandboxClasses/default/egress"),
    ({"sandboxClasses": {"default": {"pod": {"tmpSize": "0Gi"}}}}, "/sandboxClasses/default/pod/tmpSize"),
    ({"sandboxClasses": {"default": {"pod": {"homeSize": "100m"}}}}, "/sandboxClasses/default/pod/homeSize"),
    ({"sandboxClasses": {"default": {"pod": {"shmSize": "64"}}}}, "/sandboxClasses/default/pod/shmSize"),
    ({"sandboxClasses": {"default": {"pod": {"hostUsers": "no"}}}}, "/sandboxClasses/default/pod/hostUsers"),
    ({"omitIds": "yes"}, "/omitIds"),
    ({"gateway": {"extraEnv": [{"name": "SANDBOX_GATEWAY_MASTER_KEY_DIR", "value": "/"}]}}, "/gateway/extraEnv/0/name"),
    ({"operator": {"extraEnv": [{"name": "A=B"}]}}, "/operator/extraEnv/0/name"),
    ({"operator": {"extraEnv": [{"name": "A", "valueFrom": {}}]}}, "/operator/extraEnv/0/valueFrom"),
    (
        {
            "gateway": {
                "extraEnv": [{"name": "A", "value": "a", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]
            }
        },
        "/gateway/extraEnv/0",
    ),
    ({"operator": {"extraEnv": [{"name": "A"}, {"name": "A"}]}}, "operator.extraEnv: A is there twice"),
    *(
        (
            {"tracing": COLLECTOR, process: {"extraEnv": [{"name": name, "value": "a"}]}},
            f"{process}.extraEnv: {name} is",
        )
        for process, name in (("gateway", "OTEL_RESOURCE_ATTRIBUTES"), ("operator", "POD_NAME"))
    ),
    *(({"tracing": {"endpoint": endpoint}}, "/tracing/endpoint") for endpoint in BAD_COLLECTORS),
    ({"tracing": {"sampleRatio": 1.5}}, "/tracing/sampleRatio"),
    ({"networkPolicy": {"collector": {"ports": []}}}, "/networkPolicy/collector/ports"),
    ({"gateway": {"serviceAccount": {"annotations": {"a": 1}}}}, "/gateway/serviceAccount/annotations/a"),
    ({"gateway": {"service": {"ipFamilyPolicy": "Dual"}}}, "/gateway/service/ipFamilyPolicy"),
    ({"gateway": {"service": {"ipFamilies": ["IPv5"]}}}, "/gateway/service/ipFamilies/0"),
    (
        {"gateway": {"service": {"ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv4", "IPv6"]}}},
        "gateway.service.ipFamilies: SingleStack takes one family",
    ),
    *(({"sandboxClasses": {"default": {"pod": pod}}}, named) for pod, named in BAD_PODS),
    ({"sandboxPools": {"Upper": {"image": "i"}}}, "/sandboxPools"),
    ({"sandboxPools": {"x" * 51: {"image": "i"}}}, "/sandboxPools"),
    ({"sandboxPools": {"p": {}}}, "missing property 'image'"),
    ({"sandboxPools": {"p": {"image": "i", "replicas": -1}}}, "/sandboxPools/p/replicas"),
    ({"sandboxPools": {"p": {"image": "i", "replicas": 10001}}}, "/sandboxPools/p/replicas"),
    ({"sandboxPools": {"p": {"image": "i", "env": []}}}, "'env' not allowed"),
    ({"sandboxPools": {"p": {"image": "i", "environment": {"A": 1}}}}, "/sandboxPools/p/environment/A"),
    ({"sandboxPools": {"p": {"image": "i", "runAsUser": 0}}}, "/sandboxPools/p/runAsUser"),
    ({"sandboxPools": {"p": {"image": "i", "autoscaling": {"minReplicas": 1}}}}, "missing property 'maxReplicas'"),
    ({"networkPolicy": {"enabled": "yes"}}, "/networkPolicy/enabled"),
    ({"networkPolicy": {"dns": {"to": []}}}, "/networkPolicy/dns/to"),
    ({"networkPolicy": {"dns": {"to": [{}]}}}, "/networkPolicy/dns/to/0"),
    ({"networkPolicy": {"apiServer": {"cidrs": ["10.0.0.1"]}}}, "/networkPolicy/apiServer/cidrs/0"),
    ({"networkPolicy": {"apiServer": {"ports": [0]}}}, "/networkPolicy/apiServer/ports/0"),
    ({"networkPolicy": {"sandbox": {"deniedCIDRs": ["10.0.0.0/33"]}}}, "/networkPolicy/sandbox/deniedCIDRs/0"),
    ({"networkPolicy": {"sandbox": {"agentPorts": []}}}, "/networkPolicy/sandbox/agentPorts"),
    ({"networkPolicy": {"sandbox": {"servicePorts": [1]}}}, "/networkPolicy/sandbox/servicePorts/0"),
    ({"networkPolicy": {"sandbox": {"internet": "no"}}}, "/networkPolicy/sandbox/internet"),
    ({"networkPolicy": {"sandbox": {"extraEgress": [{"from": []}]}}}, "/networkPolicy/sandbox/extraEgress/0"),
    ({"networkPolicy": {"egressProfiles": {"a b": {}}}}, "/networkPolicy/egressProfiles"),
    ({"networkPolicy": {"egressProfiles": {"M": {"cidr": []}}}}, "'cidr' not allowed"),
    ({"networkPolicy": {"egressProfiles": {"M": {"rules": [{"from": []}]}}}}, "/egressProfiles/M/rules/0"),
    ({"networkPolicy": {"egressProfiles": {"none": {}}}}, "egressProfiles.none: None is the profile of those"),
    ({"networkPolicy": {"egressProfiles": {"internet": {}}}}, "another profile has this name in other letters"),
    ({"networkPolicy": {"egressProfiles": {"M": {"cidrs": ["0.0.0.0/0"]}}}}, "set internet: true"),
    ({"networkPolicy": {"egressProfiles": {"M": {"cidrs": ["10.0.0.0/7"]}}}}, "wider than /8"),
    ({"networkPolicy": {"egressProfiles": {"M": {"cidrs": ["::/0"]}}}}, "set internet: true"),
    ({"networkPolicy": {"egressProfiles": {"M": {"cidrs": ["fd00::/8"]}}}}, "wider than"),
    ({"networkPolicy": {"egressProfiles": {"M": {"cidrs": ["169.254.169.254/32"]}}}}, "link-local"),
    ({"networkPolicy": {"egressProfiles": {"M": {"cidrs": ["169.254.0.0/16"]}}}}, "link-local"),
    ({"networkPolicy": {"egressProfiles": {"M": {"cidrs": ["169.0.0.0/8"]}}}}, "link-local"),
    ({"networkPolicy": {"egressProfiles": {"M": {"cidrs": ["169.240.0.0/12"]}}}}, "link-local"),
    *(
        ({"networkPolicy": {"egressProfiles": {"M": {"cidrs": [cidr]}}}}, "credentials")
        for cidr in ("168.63.129.16/32", "168.63.129.0/27", "168.63.128.0/19", "168.63.0.0/16", "168.0.0.0/8")
    ),
    *(
        ({"networkPolicy": {"egressProfiles": {"M": {"cidrs": [cidr]}}}}, "credentials")
        for cidr in ("fd00:ec2::254/128", "FD00:0EC2::/32", "fd00::/16", "100.100.100.200/32")
    ),
    ({"networkPolicy": {"egressProfiles": {"M": {"cidrs": ["127.0.0.1/32"]}}}}, "name a narrower"),
    ({"networkPolicy": {"egressProfiles": {"M": {"cidrs": ["FE80::/16"]}}}}, "link-local"),
    ({"networkPolicy": {"sandbox": {"extraIngress": [{"to": []}]}}}, "/networkPolicy/sandbox/extraIngress/0"),
    ({"operator": {"pauseImage": ""}}, "/operator/pauseImage"),
    ({"monitoring": {"podMonitor": {"interval": 30}}}, "/monitoring/podMonitor/interval"),
    ({"monitoring": {"serviceMonitor": {"scrapeTimeout": "soon"}}}, "/monitoring/serviceMonitor/scrapeTimeout"),
    ({"monitoring": {"podMonitor": {"relabelings": [{"target": "a"}]}}}, "'target' not allowed"),
    *(
        ({"monitoring": {"prometheusRule": {"runbooksURL": url}}}, "/monitoring/prometheusRule/runbooksURL")
        for url in ("a b", "docs/other.md", "https://", "https://example.com/#a")
    ),
    ({"monitoring": {"grafanaDashboard": {"labels": {"a": 1}}}}, "/monitoring/grafanaDashboard/labels/a"),
    (
        {"monitoring": {"podMonitor": {"enabled": True}, "serviceMonitor": {"enabled": True}}},
        "monitoring: enable one of scrapeAnnotations, podMonitor and serviceMonitor",
    ),
    (
        {"monitoring": {"podMonitor": {"enabled": True}, "scrapeAnnotations": True}},
        "monitoring: enable one of scrapeAnnotations, podMonitor and serviceMonitor",
    ),
    ({"test": {"agentServerImage": ""}}, "/test/agentServerImage"),
    ({"test": {"starts": 0}}, "/test/starts"),
    ({"test": {"startTimeoutSeconds": 0}}, "/test/startTimeoutSeconds"),
]


@pytest.mark.parametrize(("values", "named"), BAD, ids=[json.dumps(values)[:60] for values, _ in BAD])
def test_a_bad_value_is_refused_by_name(helm: Helm, values: dict[str, Any], named: str) -> None:
    with pytest.raises(RefusedError) as refusal:
        helm.render(values)
    assert named in str(refusal.value)


def test_a_pattern_of_images_is_the_same_for_the_chart_and_for_the_gateway() -> None:
    items = SCHEMA["properties"]["allowedImages"]["items"]
    assert (items["pattern"], items["maxLength"]) == (image_patterns.PATTERN, image_patterns.MAXIMUM)


def test_the_values_of_a_parent_chart_are_accepted(helm: Helm) -> None:
    assert helm.render({"global": {"region": "north"}})


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with its reference, if it is one, followed."""
    references = [schema, *schema.get("allOf", [])]
    for reference in references:
        if "$ref" in reference:
            target = SCHEMA["definitions"][reference["$ref"].rsplit("/", 1)[1]]
            return {**target, **{key: value for key, value in schema.items() if key not in ("$ref", "allOf")}}
    return schema


def nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Each place in the schema with its path."""
    node = resolved(schema)
    yield path, node
    for name, part in {**node.get("properties", {}), **node.get("patternProperties", {})}.items():
        yield from nodes(part, f"{path}/{name}")
    if isinstance(node.get("additionalProperties"), dict):
        yield from nodes(node["additionalProperties"], f"{path}/*")
    if "items" in node:
        yield from nodes(node["items"], f"{path}/[]")


def test_every_field_of_the_schema_is_described() -> None:
    bare = [
        path for path, node in nodes(SCHEMA) if path and not path.endswith(("*", "[]")) and "description" not in node
    ]
    assert bare == []


def test_the_schema_leaves_nothing_open() -> None:
    # What a parent chart sets, and the parts of `affinity`, which the API server checks.
    open_by_design = ("/global", "/nodeAffinity", "/podAffinity", "/podAntiAffinity")
    open_objects = [
        path
        for path, node in nodes(SCHEMA)
        if "object" in node["type"] and "additionalProperties" not in node and not path.endswith(open_by_design)
    ]
    assert open_objects == []


def test_every_value_has_a_default_and_is_in_the_schema() -> None:
    def compare(values: dict[str, Any], schema: dict[str, Any], path: str) -> None:
        properties = resolved(schema).get("properties")
        if properties is None or path in {"/sandboxClasses", "/sandboxPools"}:
            return
        assert set(values) == set(properties) - {"global"} - FORMER.get(path, set()), path
        for name, value in values.items():
            if isinstance(value, dict) and value and name != "resources":
                compare(cast("dict[str, Any]", value), properties[name], f"{path}/{name}")

    compare(VALUES, SCHEMA, "")


def test_the_bounds_of_the_api_key_are_those_of_the_command_and_the_gateway() -> None:
    ours = SCHEMA["properties"]["apiKey"]["properties"]
    kept = ("minimum", "maximum", "enum")

    def bounds(schema: dict[str, Any]) -> dict[str, Any]:
        [own] = [option for option in schema.get("anyOf", [schema]) if option.get("type") != "null"]
        return {key: own[key] for key in kept if key in own}

    limits = Limits.model_json_schema()["properties"]
    assert {name: bounds(node) for name, node in ours["limits"]["properties"].items()} == {
        name: bounds(node) for name, node in limits.items()
    }
    for name, item in (("images", "ghcr.io/openhands/*"), ("classes", "small")):
        most = ours[name]["maxItems"]
        assert Policy.model_validate({name: [item] * most})
        with pytest.raises(ValidationError):
            Policy.model_validate({name: [item] * (most + 1)})


def keys(node: Any, path: str = "") -> Iterator[tuple[str, int]]:
    """Path and line (from 0) of each key, without those of lists and of resources."""
    if not isinstance(node, yaml.MappingNode):
        return
    pairs = cast("list[tuple[yaml.ScalarNode, yaml.Node]]", node.value)  # pyright: ignore[reportUnknownMemberType]
    for key, value in pairs:
        name = cast("str", key.value)
        yield f"{path}.{name}", key.start_mark.line
        if name != "resources":
            yield from keys(value, f"{path}.{name}")


def test_every_value_has_a_comment() -> None:
    text = (CHART / "values.yaml").read_text()
    lines = text.splitlines()
    document = cast("yaml.Node", yaml.compose(text))  # pyright: ignore[reportUnknownMemberType]
    found = list(keys(document))
    assert len(found) > 50
    assert [path for path, line in found if not lines[line - 1].lstrip().startswith("#")] == []


@pytest.mark.parametrize(
    ("crds", "definition"), [("sandboxclasses.yaml", "sandboxClassSpec"), ("sandboxpools.yaml", "sandboxPoolSpec")]
)
def test_the_schema_of_a_resource_is_that_of_the_crd(crds: str, definition: str) -> None:
    crd = yaml.safe_load(manifests()[crds])
    spec = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    kept = ("pattern", "minLength", "maxLength", "minimum", "maximum", "maxItems", "maxProperties", "enum", "required")

    def compare(ours: dict[str, Any], theirs: dict[str, Any], path: str) -> None:
        if theirs.get("x-kubernetes-preserve-unknown-fields"):
            return  # the CRD takes all, the chart only what Kubernetes knows
        ours = resolved(ours)
        assert {key: ours.get(key) for key in kept} == {key: theirs.get(key) for key in kept}, path
        if "properties" in theirs:
            assert set(ours["properties"]) == set(theirs["properties"]), path
            for name, part in theirs["properties"].items():
                compare(ours["properties"][name], part, f"{path}/{name}")
        for inner in ("items", "additionalProperties"):
            if isinstance(theirs.get(inner), dict):
                compare(ours[inner], theirs[inner], f"{path}/{inner}")

    compare(SCHEMA["definitions"][definition], spec, "")
