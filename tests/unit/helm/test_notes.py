"""What Helm tells a person after an install."""

from typing import Any

import pytest

from unit.helm.rendering import PREFIX, Helm

CASES: list[tuple[dict[str, Any], str]] = [
    ({}, f"kubectl --namespace agents port-forward service/{PREFIX}-gateway 60000:80"),
    ({}, f"get secret {PREFIX}-api-key --output jsonpath='{{.data.api-key}}' | base64 --decode"),
    ({}, "get ohsb"),
    ({}, "helm --namespace agents test demo"),
    ({}, "work only if this cluster's network plugin enforces them"),
    ({}, f"exec deployment/{PREFIX}-operator -- python3 -c 'import socket;"),
    ({}, "kubectl label namespace agents pod-security.kubernetes.io/enforce=restricted"),
    ({"networkPolicy": {"enabled": False}}, "NetworkPolicies are off"),
    ({"gateway": {"service": {"type": "NodePort"}}}, "{.spec.ports[0].nodePort}"),
    ({"gateway": {"service": {"type": "LoadBalancer", "port": 81}}}, "{.status.loadBalancer.ingress[0].hostname}'):81"),
    ({"gateway": {"publicURL": "https://boxes.example.com"}}, "export RUNTIME_API_URL=https://boxes.example.com"),
    ({"gateway": {"baseDomain": "boxes.example.com"}}, "*.boxes.example.com must resolve to the gateway"),
    ({"gateway": {"tls": {"secretName": "my-tls"}}}, "RUNTIME_API_URL=https://localhost:60000"),
    ({"gateway": {"tls": {"secretName": "my-tls"}}}, f"https://{PREFIX}-gateway.agents.svc:443."),
    ({"gateway": {"tls": {"secretName": "my-tls"}}}, "certificate of Secret my-tls must cover the host"),
    ({"gateway": {"sandboxClass": "other"}}, "SandboxClass other (gateway.sandboxClass) is not made by this chart"),
    ({"allowedImages": ["ghcr.io/*"]}, "kubectl is not bound by it"),
    ({"apiKey": {"create": False}}, "kubectl ohsb keys create my-key --namespace agents --owner 'default'"),
    ({}, f"kubectl ohsb keys revoke {PREFIX}-api-key-hash --namespace agents"),
    ({"test": {"agentServerImage": "my-image:1"}}, 'server_image="my-image:1"'),
]


@pytest.mark.parametrize(("values", "said"), CASES, ids=[said[:40] for _, said in CASES])
def test_the_next_command_is_named(helm: Helm, values: dict[str, Any], said: str) -> None:
    assert said in helm.notes(values)


def test_what_does_not_apply_is_not_said(helm: Helm) -> None:
    notes = helm.notes()
    for unsaid in ("must resolve to the gateway", "is not made by this chart", "policies are off", "crds/"):
        assert unsaid not in notes
    allowed = {"allowedImages": ["ghcr.io/*"], "admissionPolicy": {"create": True}}
    assert "allowedImages" not in notes + helm.notes(allowed)
    without_a_key = helm.notes({"apiKey": {"create": False}})
    assert "test demo" not in without_a_key
    assert "keys revoke" not in without_a_key


def test_classes_whose_egress_profile_is_missing_are_named(helm: Helm) -> None:
    classes = {
        "known": {},
        "none": {"egress": "None"},
        "gone": None,
        "bad": {"egress": "modle"},
        "late": {"egress": "L"},
    }
    notes = helm.notes({"sandboxClasses": classes, "networkPolicy": {"egressProfiles": {"L": None, "model": {}}}})
    told = [line.partition(" connect to nothing")[0] for line in notes.splitlines() if "connect to nothing" in line]
    assert told == [f"NOTE: sandboxes of SandboxClass {name}" for name in ("bad", "late")]
    assert "has no modle (its egress)" in notes


def test_classes_whose_sandboxes_are_never_suspended_for_idleness_are_named(helm: Helm) -> None:
    classes = {
        "bare": {},
        "gone": None,
        "kept": {"workspace": {"persistent": True}},
        "discarded": {"workspace": {"discardOnSuspension": True}},
    }
    lines = helm.notes({"sandboxClasses": classes}).splitlines()
    told = [line.partition(" have no volume")[0] for line in lines if "have no volume" in line]
    assert told == [f"NOTE: sandboxes of SandboxClass {name}" for name in ("bare", "default")]
    assert any("sandboxClasses.default.workspace.persistent" in line for line in lines)


def test_the_key_itself_is_not_shown(helm: Helm) -> None:
    key = "a-key-of-the-tests-0123456789abcdef"
    assert key not in helm.notes({"apiKey": {"value": key}})
