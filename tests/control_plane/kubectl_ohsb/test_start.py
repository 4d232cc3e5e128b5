"""`kubectl ohsb start` on the real API server."""

import asyncio
from pathlib import Path

import pytest
import yaml

from control_plane.gateway.support import Operator, Replica
from control_plane.kubectl_ohsb.support import Shell, add_class
from control_plane.naming import NAMING, runtime_id
from sandbox_common.keys import NAMING_KEY
from sandbox_common.kube import KubeClient, Resource
from sandbox_common.kube.resources import SANDBOXES, SECRETS
from sandbox_common.reasons import Reason
from sandbox_crds.names import environment_secret_name, unkeyed_runtime_id

START = ("start", "--image", "agent:1", "--owner", "team a", "--session-id", "s")
NAMING_SECRET = "openhands-sandbox-naming-key"


async def add_naming_key(client: KubeClient, namespace: str, name: str = NAMING_SECRET, **entries: str) -> None:
    """The Secret of the chart, or one that an administrator names."""
    await client.create(SECRETS, namespace, {"metadata": {"name": name}, "stringData": entries})


async def without_secrets(shell: Shell, client: KubeClient, namespace: str, directory: Path) -> Shell:
    """A shell with rights for our resources alone."""
    api = "rbac.authorization.k8s.io"
    name = {"metadata": {"name": "poor"}}
    rule = {"apiGroups": [SANDBOXES.group], "resources": ["*"], "verbs": ["*"]}
    await client.create(Resource(api, "v1", "roles", "Role"), namespace, {**name, "rules": [rule]})
    subjects = [{"kind": "ServiceAccount", "name": "default", "namespace": namespace}]
    role = {"apiGroup": api, "kind": "Role", "name": "poor"}
    binding = {**name, "roleRef": role, "subjects": subjects}
    await client.create(Resource(api, "v1", "rolebindings", "RoleBinding"), namespace, binding)
    token = await shell.kubectl("create", "token", "default")
    return with_token(shell, token.out.strip(), directory)


def with_token(shell: Shell, token: str, directory: Path) -> Shell:
    """The same shell as somebody else."""
    config = yaml.safe_load(Path(shell.env["KUBECONFIG"]).read_text())
    config["users"][0]["user"] = {"token": token}
    path = directory / "another"
    path.write_text(yaml.safe_dump(config))
    return Shell({**shell.env, "KUBECONFIG": str(path)})


async def test_a_sandbox_is_made_as_the_gateway_makes_it(
    shell: Shell, operator: Operator, client: KubeClient, namespace: str
) -> None:
    await add_class(client, namespace)
    await add_naming_key(client, namespace, **{NAMING_KEY: NAMING.decode()})
    name = runtime_id("team a", "s")

    async def operate() -> None:
        await operator.only()
        await operator.report(Reason.UNSCHEDULABLE, "No node has room.", name=name)
        await asyncio.sleep(1)
        await operator.report(Reason.READY, name=name)

    started, _ = await asyncio.gather(shell.ohsb(*START, "--env", "TOKEN=very-secret", "--env", "A=b=c"), operate())
    assert (started.code, started.out) == (0, f"sandbox {name} started\n"), started.err
    assert f"{name}: starting, Unschedulable: No node has room." in started.err
    assert "GET /sessions/s" in started.err
    sandbox = await client.get(SANDBOXES, namespace, name)
    spec = sandbox["spec"]
    assert (spec["image"], spec["owner"], spec["sessionID"], spec["service"]) == ("agent:1", "team a", "s", "None")
    assert "very-secret" not in str(sandbox) + started.out + started.err
    secret = await client.get(SECRETS, namespace, environment_secret_name(name, sandbox["metadata"]["uid"]))
    assert set(secret["data"]) == {"TOKEN", "A"}
    assert secret["metadata"]["ownerReferences"][0]["name"] == name

    again = await shell.ohsb(*START, "--no-wait")
    assert (again.code, again.out) == (1, "")
    assert f"kubectl ohsb resume {name}" in again.err


async def test_a_start_that_fails_says_why(
    shell: Shell, operator: Operator, client: KubeClient, namespace: str
) -> None:
    await add_class(client, namespace)

    async def operate() -> None:
        await operator.only()
        await operator.report(Reason.IMAGE_NOT_FOUND, "No such image. Remedy: Push it.", remedy="Push it.")

    # Without a session id it needs no naming key.
    failed, _ = await asyncio.gather(shell.ohsb(*START[:-2]), operate())
    assert (failed.code, failed.out) == (1, "")
    assert "error, ImageNotFound: No such image. Remedy: Push it." in failed.err


async def test_the_gateway_finds_it_by_its_session_id_and_makes_no_second_one(
    gateway: Replica, shell: Shell, operator: Operator, client: KubeClient, namespace: str
) -> None:
    await add_class(client, namespace)
    await add_naming_key(client, namespace, **{NAMING_KEY: NAMING.decode() + "\n"})
    await gateway.freeze()
    start = ("start", "--image", "agent:1", "--owner", "alice", "--session-id", "s", "--no-wait")
    made = await shell.ohsb(*start, "--output", "json")
    assert made.json["name"] == runtime_id("alice", "s")
    for found in (await gateway.session("s"), await gateway.start("s")):
        assert found["runtime_id"] == made.json["name"]
    await operator.only()


@pytest.mark.parametrize("of_gateway", [True, False])
async def test_a_session_that_has_a_sandbox_of_any_name_gets_no_second_one(
    of_gateway: bool, gateway: Replica, shell: Shell, operator: Operator, client: KubeClient, namespace: str
) -> None:
    await add_class(client, namespace)
    # Where the master key's Secret has no naming key, the gateway has none either.
    await add_naming_key(client, namespace, "mine", v1="v" * 32)
    start = ("start", "--image", "agent:1", "--owner", "alice", "--session-id", "s", "--no-wait")
    if of_gateway:
        await gateway.start("s")
    else:
        made = await shell.ohsb(*start, "--naming-key", "mine", "--output", "json")
        assert made.json["name"] == unkeyed_runtime_id("alice", "s")
    name = (await operator.only())["metadata"]["name"]
    refused = await shell.ohsb(*start, "--naming-key", "mine")
    assert (refused.code, refused.out) == (1, "")
    assert f"kubectl ohsb resume {name}" in refused.err
    await operator.only()


async def test_without_the_naming_key_a_start_of_a_session_says_what_to_do(
    shell: Shell, client: KubeClient, namespace: str, tmp_path: Path
) -> None:
    await add_class(client, namespace)
    refused = await shell.ohsb(*START)
    assert refused.code == 1
    for words in (f"there is no Secret {NAMING_SECRET}", "--naming-key", "POST /start", "omit --session-id"):
        assert words in refused.err

    await add_naming_key(client, namespace, **{NAMING_KEY: NAMING.decode()})
    refused = await (await without_secrets(shell, client, namespace, tmp_path)).ohsb(*START)
    assert refused.code == 1
    for words in (f"you may not read the Secret {NAMING_SECRET}", "ask for the right", "omit --session-id"):
        assert words in refused.err
    assert NAMING.decode() not in refused.out + refused.err
    assert (await client.list(SANDBOXES, namespace))["items"] == []


async def test_a_class_that_there_is_not_is_named_with_those_that_are(
    shell: Shell, client: KubeClient, namespace: str
) -> None:
    await add_class(client, namespace, "big")
    refused = await shell.ohsb(*START, "--class", "bigger")
    assert (refused.code, refused.out) == (1, "")
    assert "there is no SandboxClass bigger; there are: big" in refused.err
    assert (await client.list(SANDBOXES, namespace))["items"] == []
