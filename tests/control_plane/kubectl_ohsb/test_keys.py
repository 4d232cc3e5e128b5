"""`kubectl ohsb keys` on the real API server, also as people run it: by kubectl."""

import asyncio
import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from control_plane.kubectl_ohsb.support import Shell, add_sandbox
from kubectl_ohsb.errors import Refusal
from kubectl_ohsb.key_secrets import KeySecrets
from local_cluster.build import binary
from sandbox_common.api_keys import ApiKey, Limits, decode
from sandbox_common.keys import api_key_hash
from sandbox_common.kube import ApiError, KubeClient, KubeObject
from sandbox_common.kube.resources import SANDBOXES, SECRETS
from sandbox_crds.api import API_KEY_LABEL, MANAGED_BY_LABEL


async def test_a_key_from_its_creation_to_its_revocation(shell: Shell, client: KubeClient, namespace: str) -> None:
    async def stored() -> tuple[KubeObject, ApiKey]:
        secret = await client.get(SECRETS, namespace, "ci")
        return secret, decode(secret)

    limits = ("--running", "20", "--life", "7d", "--resource-factor", "2")
    others = ("--image", "ghcr.io/openhands/*", "--class", "small", "--class", "big", "--expires", "30d")
    made = await shell.ohsb("keys", "create", "ci", "--owner", "team a", *limits, *others)
    assert made.code == 0, made.err
    first = made.out.strip()
    assert "shown once" in made.err
    secret, key = await stored()
    assert secret["metadata"]["labels"][API_KEY_LABEL] == "true"
    assert key.owner == "team a"
    assert [hash_.sha256 for hash_ in key.hashes] == [api_key_hash(first)]
    assert key.policy.limits == Limits(running=20, life_seconds=604_800, resource_factor=2)
    assert (key.policy.images, key.policy.classes) == (("ghcr.io/openhands/*",), ("small", "big"))
    assert key.hashes[0].expires

    second = (await shell.ohsb("keys", "create", "laptop", "--owner", "team a", "--running", "5", "-o", "json")).json
    assert decode(await client.get(SECRETS, namespace, "laptop")).hashes[0].sha256 == api_key_hash(second["key"])

    rotated = (await shell.ohsb("keys", "rotate", "ci", "-o", "json")).json
    _, key = await stored()
    assert [hash_.sha256 for hash_ in key.hashes] == [api_key_hash(rotated["key"]), api_key_hash(first)]
    again = await shell.ohsb("keys", "rotate", "ci", "-o", "json")
    assert (again.code, again.out) == (1, "")
    assert f"valid until {rotated['olderKeyValidUntil']}" in again.err
    changed = ("--running", "none", "--sandboxes", "9", "--all-images", "--expires", "never", "--end-old")
    assert (await shell.ohsb("keys", "set", "ci", *changed)).code == 0
    secret, key = await stored()
    assert set(secret["data"]) == {"sha256", "owner", "policy"}
    assert key.policy.limits == Limits(sandboxes=9, life_seconds=604_800, resource_factor=2)
    assert (key.policy.images, key.policy.classes) == ((), ("small", "big"))

    table = await shell.ohsb("keys", "list")
    listed = await shell.ohsb("keys", "list", "-o", "json")
    shown = await shell.ohsb("keys", "show", "ci", "-o", "json")
    assert [line.split()[0] for line in table.out.splitlines()] == ["NAME", "ci", "laptop"]
    assert [item["name"] for item in listed.json["items"]] == ["ci", "laptop"]
    assert shown.json["ofOwner"]["limits"] == {
        "running": 5,
        "sandboxes": 9,
        "lifeSeconds": 604_800,
        "resourceFactor": 2,
    }

    await add_sandbox(client, namespace, "of-a", "team a")
    await add_sandbox(client, namespace, "of-b", "team b")
    revoked = await shell.ohsb("keys", "revoke", "ci")
    assert revoked.out == "API key ci is revoked.\n"
    assert f"kubectl delete ohsb --namespace {namespace} of-a\n" in revoked.err
    assert "other keys: laptop" in revoked.err
    gone = await shell.ohsb("keys", "revoke", "laptop", "-o", "json")
    assert (gone.json["sandboxes"], gone.json["otherKeys"]) == (["of-a"], [])
    assert (await shell.ohsb("keys", "list", "-o", "json")).json == {"items": []}
    assert (await client.get(SANDBOXES, namespace, "of-a"))["spec"]["owner"] == "team a"

    # Neither a key nor a hash is told by anything but the command that makes it.
    clear = [first, second["key"], rotated["key"]]
    told = [text for done in (again, table, listed, shown, revoked, gone) for text in (done.out, done.err)]
    for hidden in [*clear, *map(api_key_hash, clear)]:
        assert not [text for text in (*told, made.err) if hidden in text]


async def test_only_secrets_of_keys_are_shown_and_changed(shell: Shell, client: KubeClient, namespace: str) -> None:
    await client.create(SECRETS, namespace, {"metadata": {"name": "master"}, "stringData": {"sha256": "x"}})
    for command in ("show", "rotate", "revoke"):
        refused = await shell.ohsb("keys", command, "master")
        assert (refused.code, refused.out) == (1, "")
        assert "is no API key" in refused.err
    refused = await shell.ohsb("keys", "create", "master", "--owner", "a")
    assert (refused.code, refused.out) == (1, "")
    assert "choose another name" in refused.err
    assert (await client.get(SECRETS, namespace, "master"))["data"] == {"sha256": "eA=="}


async def test_a_secret_that_cannot_be_read_is_listed_and_can_go(
    shell: Shell, client: KubeClient, namespace: str
) -> None:
    metadata = {"name": "broken", "labels": {API_KEY_LABEL: "true"}}
    await client.create(SECRETS, namespace, {"metadata": metadata, "stringData": {"sha256": "the-key-itself"}})
    [item] = (await shell.ohsb("keys", "list", "-o", "json")).json["items"]
    assert (item["status"], item["error"]) == ("Unreadable", "data.owner is missing")
    refused = await shell.ohsb("keys", "set", "broken", "--running", "1")
    assert refused.code == 1
    assert "data.owner is missing" in refused.err
    assert "the-key-itself" not in refused.err
    assert (await shell.ohsb("keys", "revoke", "broken")).code == 0
    with pytest.raises(ApiError):
        await client.get(SECRETS, namespace, "broken")


async def test_a_key_of_the_chart_is_left_to_the_chart(shell: Shell, client: KubeClient, namespace: str) -> None:
    metadata = {
        "name": "of-the-chart",
        "labels": {API_KEY_LABEL: "true", MANAGED_BY_LABEL: "Helm"},
        "annotations": {"meta.helm.sh/release-name": "agents"},
    }
    data = {"sha256": api_key_hash("k"), "owner": "default"}
    await client.create(SECRETS, namespace, {"metadata": metadata, "stringData": data})
    refused = await shell.ohsb("keys", "rotate", "of-the-chart")
    assert (refused.code, refused.out) == (1, "")
    assert "Helm release agents" in refused.err
    assert "apiKey" in refused.err
    revoked = await shell.ohsb("keys", "revoke", "of-the-chart")
    assert revoked.code == 0
    assert "unless the chart's value apiKey.create is false" in revoked.err


async def test_what_the_cluster_has_not_is_refused_by_name(shell: Shell, client: KubeClient, namespace: str) -> None:
    refusals = {
        ("rotate", "k"): "there is no API key k",
        ("create", "k", "--owner", "a", "--namespace", "absent"): "check --namespace",
        ("list", "--context", "absent"): "--context",
        ("list", "--kubeconfig", "/absent"): "--kubeconfig",
    }
    for arguments, said in refusals.items():
        refused = await shell.ohsb("keys", *arguments)
        assert (refused.code, refused.out) == (1, ""), arguments
        assert said in refused.err
    assert (await client.list(SECRETS, namespace))["items"] == []


async def test_a_kubeconfig_that_does_not_work_is_named_without_what_it_holds(shell: Shell, tmp_path: Path) -> None:
    working: dict[str, Any] = yaml.safe_load((tmp_path / "kubeconfig").read_text())
    [cluster], [user] = working["clusters"], working["users"]
    elsewhere = {"name": cluster["name"], "cluster": {**cluster["cluster"], "server": "https://127.0.0.1:1"}}
    nobody = {"name": user["name"], "user": {"token": "nobodys-token"}}
    cases = {
        "binary": (b"\x00\xff", "--kubeconfig"),
        "text": (b"key: [nobodys-token", "--kubeconfig"),
        "empty": (b"", "--kubeconfig"),
        "elsewhere": (yaml.safe_dump({**working, "clusters": [elsewhere]}).encode(), "does not answer"),
        "nobody": (yaml.safe_dump({**working, "users": [nobody]}).encode(), "credentials"),
    }
    for name, (content, _) in cases.items():
        (tmp_path / name).write_bytes(content)
    for name, (_, said) in cases.items():
        arguments = ("list", "--kubeconfig", str(tmp_path / name))
        # It is the real command that configures its log, which must not mix with what it prints: requests are repeated.
        is_real = name in {"elsewhere", "nobody"}
        refused = await (shell.kubectl("ohsb", "keys", *arguments) if is_real else shell.ohsb("keys", *arguments))
        assert (refused.code, refused.out) == (1, ""), name
        assert "to be repeated" not in refused.err, name
        assert said in refused.err, name
        assert "nobodys-token" not in refused.err


async def test_two_changes_at_once_are_both_made(shell: Shell, client: KubeClient, namespace: str) -> None:
    """Another change comes between reading and writing, once, and then again and again."""
    assert (await shell.ohsb("keys", "create", "ci", "--owner", "a")).code == 0
    calls = 0

    def disturbed(key: ApiKey) -> ApiKey:
        nonlocal calls
        calls += 1
        if calls in disturbances:
            patch = json.dumps({"metadata": {"annotations": {"changed": str(calls)}}})
            command = [binary("kubectl"), "patch", "secret", "ci", "--type", "merge", "--patch", patch]
            subprocess.run(command, env=dict(shell.env), check=True, capture_output=True)
        return replace(key, policy=key.policy.model_copy(update={"limits": Limits(running=calls)}))

    disturbances = {1}
    changed = await KeySecrets(client, namespace).change("ci", disturbed)
    assert changed.readable().policy.limits == Limits(running=2)
    assert (await client.get(SECRETS, namespace, "ci"))["metadata"]["annotations"] == {"changed": "1"}
    disturbances = {3, 4}
    with pytest.raises(Refusal, match="try again"):
        await KeySecrets(client, namespace).change("ci", disturbed)
    assert decode(await client.get(SECRETS, namespace, "ci")).policy.limits == Limits(running=2)


async def test_kubectl_finds_the_plugin_and_completes_names(shell: Shell) -> None:
    racing = (shell.kubectl("ohsb", "keys", "create", "ci", "--owner", owner) for owner in ("team-a", "team-b"))
    helped, *made = await asyncio.gather(shell.kubectl("ohsb", "keys", "--help"), *racing)
    assert "Usage: kubectl ohsb keys" in helped.out
    for command in ("create", "list", "show", "set", "rotate", "revoke"):
        assert f"\n  {command} " in helped.out
    # Of those who make the same key at once one does, and the other is not shown any.
    assert sorted(each.code for each in made) == [0, 1]
    assert [each.out.startswith("ohk_") for each in made if each.out] == [True]

    listed, completed, files = await asyncio.gather(
        shell.kubectl("ohsb", "keys", "list", "-o", "json"),
        shell.kubectl("__complete", "ohsb", "keys", "revoke", "c"),
        shell.kubectl("__complete", "ohsb", "keys", "list", "--kubeconfig", ""),
    )
    assert [item["name"] for item in listed.json["items"]] == ["ci"]
    assert completed.out.splitlines() == ["ci", ":4"]
    assert files.out.splitlines() == [":0"]
