"""The keys that the chart makes. What upgrades keep is tested against a real API server."""

import base64
import hashlib
from datetime import UTC, datetime

import pytest

from sandbox_common import api_keys
from sandbox_common.keys import NAMING_KEY, MasterKeys, api_key_hash
from sandbox_crds.api import API_KEY_LABEL
from unit.helm.rendering import Helm, Manifest, find

KEY = "a-key-of-the-tests-0123456789abcdef"


def entry(secret: Manifest, name: str) -> str:
    return base64.b64decode(secret["data"][name]).decode()


def secrets(manifests: list[Manifest]) -> set[str]:
    return {item["metadata"]["name"] for item in manifests if item["kind"] == "Secret"}


def test_the_api_key_and_its_hash_agree(defaults: list[Manifest]) -> None:
    key = entry(find(defaults, "Secret", "api-key"), "api-key")
    assert len(key) >= 40
    assert key.isalnum()
    stored = entry(find(defaults, "Secret", "api-key-hash"), "sha256")
    assert stored == hashlib.sha256(key.encode()).hexdigest() == api_key_hash(key)


def test_the_gateway_reads_the_hash_by_its_label(defaults: list[Manifest]) -> None:
    labelled = [item for item in defaults if item["metadata"].get("labels", {}).get(API_KEY_LABEL) == "true"]
    assert [item["kind"] for item in labelled] == ["Secret"]
    assert api_keys.decode(labelled[0]).owner == "default"
    assert set(labelled[0]["data"]) == {"sha256", "owner"}


def test_every_rendering_has_other_keys(helm: Helm, defaults: list[Manifest]) -> None:
    again = helm.render()
    for suffix in ("api-key", "api-key-hash", "master-key", "naming-key"):
        assert find(again, "Secret", suffix)["data"] != find(defaults, "Secret", suffix)["data"]


def test_the_master_key_is_long_and_kept(defaults: list[Manifest]) -> None:
    secret = find(defaults, "Secret", "master-key")
    assert set(secret["data"]) == {"v1"}
    assert len(entry(secret, "v1")) == 64
    assert MasterKeys.of({1: entry(secret, "v1").encode()})
    assert secret["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_the_naming_key_is_long_kept_and_for_gateways_alone(defaults: list[Manifest]) -> None:
    secret = find(defaults, "Secret", "naming-key")
    assert set(secret["data"]) == {NAMING_KEY}
    assert len(entry(secret, NAMING_KEY)) == 64
    assert MasterKeys.of({1: b"1" * 32}, naming=entry(secret, NAMING_KEY).encode()).naming
    assert secret["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    mounting = [item["metadata"]["name"] for item in defaults if secret["metadata"]["name"] in str(item.get("spec"))]
    assert mounting == [find(defaults, "Deployment", "gateway")["metadata"]["name"]]


def test_an_own_api_key_is_taken(helm: Helm) -> None:
    manifests = helm.render({"apiKey": {"value": KEY, "owner": "Team 1"}})
    assert entry(find(manifests, "Secret", "api-key"), "api-key") == KEY
    hashed = api_keys.decode(find(manifests, "Secret", "api-key-hash"))
    assert ([known.sha256 for known in hashed.hashes], hashed.owner) == ([api_key_hash(KEY)], "Team 1")


def test_what_the_api_key_allows_is_stored_with_its_hash(helm: Helm) -> None:
    limits = {"running": 0, "sandboxes": 1_000_000, "lifeSeconds": 315_360_000}
    policy = {"limits": limits, "images": ["ghcr.io/openhands/*"], "classes": ["small", "big"]}
    manifests = helm.render({"apiKey": {**policy, "expires": "2030-01-31T12:00:00Z"}})
    key = api_keys.decode(find(manifests, "Secret", "api-key-hash"))
    assert key.policy == api_keys.Policy.model_validate(policy)
    assert key.hashes[0].expires == datetime(2030, 1, 31, 12, tzinfo=UTC)


def test_own_secrets_replace_those_of_the_chart(helm: Helm) -> None:
    manifests = helm.render({"masterKey": {"existingSecret": "mine"}, "apiKey": {"create": False}})
    assert secrets(manifests) == set()
    assert not [item for item in manifests if item["metadata"]["name"].endswith("-test")], "a test without a key"
    for deployment in (item for item in manifests if item["kind"] == "Deployment"):
        volumes = deployment["spec"]["template"]["spec"]["volumes"]
        [volume] = [volume for volume in volumes if volume["name"] == "master-key"]
        if "secret" in volume:
            assert volume["secret"]["secretName"] == "mine"
        else:
            assert volume["projected"]["sources"] == [{"secret": {"name": "mine"}}]


@pytest.mark.parametrize("values", [{}, {"apiKey": {"value": KEY}}])
def test_no_key_is_outside_of_its_secret(helm: Helm, values: dict[str, dict[str, str]]) -> None:
    manifests = helm.render(values)
    keys = [
        entry(find(manifests, "Secret", name), name_in)
        for name, name_in in [("api-key", "api-key"), ("master-key", "v1"), ("naming-key", NAMING_KEY)]
    ]
    for item in (item for item in manifests if item["kind"] != "Secret"):
        for key in keys:
            assert key not in str(item), item["metadata"]["name"]
            assert base64.b64encode(key.encode()).decode() not in str(item), item["metadata"]["name"]
