"""A client's environment: in a Secret and nowhere else, and made good after a crash."""

import base64
from typing import Any

import orjson
import structlog.testing

from control_plane.gateway.support import Operator, Replica, refusal
from control_plane.naming import runtime_id
from sandbox_common.kube import KubeClient, KubeObject
from sandbox_common.kube.resources import SANDBOXES, SECRETS
from sandbox_common.reasons import Reason
from sandbox_crds import names

ENVIRONMENT = {"LLM_API_KEY": "sk-very-secret", "EMPTY": "", "lower.case-NAME": "ünïcode\nlines"}


async def secret_of(client: KubeClient, sandbox: KubeObject) -> KubeObject:
    metadata = sandbox["metadata"]
    name = names.environment_secret_name(metadata["name"], metadata["uid"])
    return await client.get(SECRETS, metadata["namespace"], name)


def data_of(secret: KubeObject) -> dict[str, str]:
    data: dict[str, Any] = secret["data"]
    return {name: base64.b64decode(value).decode() for name, value in data.items()}


async def test_it_is_only_in_a_secret_that_the_sandbox_owns(
    gateway: Replica, operator: Operator, client: KubeClient
) -> None:
    await gateway.start("s", environment=ENVIRONMENT)
    sandbox = await operator.only()
    assert "sk-very-secret" not in orjson.dumps(sandbox).decode()
    assert len(sandbox["spec"]["environmentHash"]) == 64
    secret = await secret_of(client, sandbox)
    assert data_of(secret) == ENVIRONMENT
    assert secret["immutable"]
    [owner] = secret["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"]) == ("Sandbox", sandbox["metadata"]["uid"])


async def test_without_one_there_is_no_secret(
    gateway: Replica, operator: Operator, client: KubeClient, namespace: str
) -> None:
    await gateway.start("s", environment={})
    assert (await operator.only())["spec"].get("environmentHash", "") == ""
    secrets = (await client.list(SECRETS, namespace))["items"]
    assert not [item for item in secrets if item["metadata"]["name"].endswith("-env")]


async def test_reserved_names_are_dropped_with_a_log_line_that_has_no_value(
    gateway: Replica, operator: Operator, client: KubeClient
) -> None:
    with structlog.testing.capture_logs() as logs:
        await gateway.start("s", environment={"OH_SECRET_KEY": "mine", "OH_SESSION_API_KEYS_0": "mine", "KEPT": "1"})
    assert data_of(await secret_of(client, await operator.only())) == {"KEPT": "1"}
    [line] = [entry for entry in logs if entry["event"] == "reserved variables dropped"]
    assert line["variables"] == ["OH_SECRET_KEY", "OH_SESSION_API_KEYS_0"]
    assert "mine" not in str(logs)


async def test_instructions_to_the_gateway_are_no_part_of_the_environment(
    gateway: Replica, operator: Operator, client: KubeClient
) -> None:
    with structlog.testing.capture_logs() as logs:
        await gateway.start("s", environment={"OHSB_CLASS": "default", "KEPT": "1"})
    sandbox = await operator.only()
    assert data_of(await secret_of(client, sandbox)) == {"KEPT": "1"}
    assert sandbox["spec"]["className"] == "default"
    assert "reserved variables dropped" not in [entry["event"] for entry in logs]
    # With or without them it is the same environment.
    await gateway.start("s", environment={"KEPT": "1"})
    assert (await operator.only())["metadata"]["uid"] == sandbox["metadata"]["uid"]


async def test_a_retry_heals_a_crash_between_the_two_writes(
    gateway: Replica, operator: Operator, client: KubeClient, namespace: str
) -> None:
    # What a replica leaves that ends right after its first write.
    await gateway.start("template", environment=ENVIRONMENT)
    template = await operator.only()
    await client.delete(SANDBOXES, namespace, template["metadata"]["name"])
    name = runtime_id("alice", "s")
    body = {
        "apiVersion": template["apiVersion"],
        "kind": "Sandbox",
        "metadata": {"name": name},
        "spec": {**template["spec"], "sessionID": "s"},
    }
    left = await client.create(SANDBOXES, namespace, body)

    await gateway.start("s", environment=ENVIRONMENT)
    assert data_of(await secret_of(client, left)) == ENVIRONMENT
    assert (await operator.only())["metadata"]["uid"] == left["metadata"]["uid"]


async def test_a_secret_that_is_gone_comes_back_with_the_next_start(
    gateway: Replica, operator: Operator, client: KubeClient, namespace: str
) -> None:
    await gateway.start("s", environment=ENVIRONMENT)
    sandbox = await operator.only()
    secret = await secret_of(client, sandbox)
    await client.delete(SECRETS, namespace, secret["metadata"]["name"])
    report = await operator.report(Reason.CREATE_CONTAINER_ERROR, f'secret "{secret["metadata"]["name"]}" not found')
    await gateway.catch_up(report)
    await gateway.start("s", environment=ENVIRONMENT)
    assert data_of(await secret_of(client, sandbox)) == ENVIRONMENT


async def test_one_that_no_secret_holds_is_refused_and_leaves_nothing(gateway: Replica, operator: Operator) -> None:
    body = {"image": "i", "session_id": "s", "environment": {f"BIG{number}": "x" * 120 * 1024 for number in range(9)}}
    assert refusal(await gateway.http.post("/start", json=body), 422).startswith("environment: is too large")
    assert await operator.sandboxes() == []
