"""The admission policy for images as Helm renders it; the real API server judges it in tests/control_plane/helm."""

from typing import Any

import pytest

from unit.helm.rendering import CHART, NAMESPACE, PREFIX, Helm, Manifest

LIST = {"allowedImages": ["ghcr.io/openhands/*", "docker.io/python:3.13"]}
POLICY, BINDING = KINDS = ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")


def policies(manifests: list[Manifest]) -> dict[str, Manifest]:
    return {item["kind"]: item for item in manifests if item["kind"] in KINDS}


@pytest.mark.parametrize("values", [LIST, {"admissionPolicy": {"create": True}}])
def test_without_a_list_or_the_permission_nothing_is_cluster_wide(helm: Helm, values: dict[str, Any]) -> None:
    manifests = helm.render(values)
    assert policies(manifests) == {}
    assert {item["metadata"]["namespace"] for item in manifests} == {NAMESPACE}


def test_it_binds_this_namespace_alone(helm: Helm) -> None:
    found = policies(helm.render({**LIST, "admissionPolicy": {"create": True}}))
    name = f"{PREFIX}-images.{NAMESPACE}"
    assert {item["metadata"]["name"] for item in found.values()} == {name}
    assert all("namespace" not in item["metadata"] for item in found.values())
    assert found[POLICY]["spec"]["failurePolicy"] == "Fail"
    assert found[BINDING]["spec"] == {
        "policyName": name,
        "validationActions": ["Deny"],
        "matchResources": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": NAMESPACE}}},
    }


def test_the_rules_are_those_of_the_list(helm: Helm) -> None:
    found = policies(helm.render({**LIST, "admissionPolicy": {"create": True}}))
    [validation] = found[POLICY]["spec"]["validations"]
    assert validation["expression"].split("\n") == [
        "variables.wellFormed && (",
        '  variables.name.startsWith("ghcr.io/openhands/") ||',
        '  variables.name == "docker.io/library/python" && variables.version == ":3.13"',
        ")",
    ]
    for text in (validation["message"], validation["messageExpression"]):
        assert "Allowed are: ghcr.io/openhands/*, docker.io/python:3.13" in text


def test_a_message_is_short_however_long_the_list(helm: Helm) -> None:
    images = [f"ghcr.io/{'x' * 400}/{number}" for number in range(100)]
    found = policies(helm.render({"allowedImages": images, "admissionPolicy": {"create": True}}))
    assert len(found[POLICY]["spec"]["validations"][0]["message"]) < 1200


def test_releases_of_other_names_and_namespaces_have_other_policies(helm: Helm) -> None:
    flags = ("--set", "allowedImages={ghcr.io/*}", "--set", "admissionPolicy.create=true")
    names: set[str] = set()
    for release, namespace in (("a", "b"), ("a", "c"), ("b", "b"), ("a.b", "c"), ("a", "b-c")):
        text = helm.run(
            "template", release, str(CHART), "--namespace", namespace, *flags, "--show-only=templates/image-policy.yaml"
        )
        names.add(text.partition("\n  name: ")[2].partition("\n")[0])
    assert len(names) == 5


def test_the_gateway_has_the_list(helm: Helm) -> None:
    [deployment] = [
        item
        for item in helm.render(LIST)
        if item["metadata"]["name"] == f"{PREFIX}-gateway" and "template" in item.get("spec", {})
    ]
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    env = {entry["name"]: entry.get("value") for entry in container["env"]}
    assert env["SANDBOX_GATEWAY_ALLOWED_IMAGES"] == "ghcr.io/openhands/*,docker.io/python:3.13"
