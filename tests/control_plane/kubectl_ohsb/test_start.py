"""`kubectl ohsb start` on the real API server."""

import asyncio

from control_plane.gateway.support import Operator
from control_plane.kubectl_ohsb.support import Shell, add_class
from sandbox_common.kube import KubeClient
from sandbox_common.kube.resources import SANDBOXES, SECRETS
from sandbox_common.reasons import Reason
from sandbox_crds.names import environment_secret_name, runtime_id

START = ("start", "--image", "agent:1", "--owner", "team a", "--session-id", "s")


async def test_a_sandbox_is_made_as_the_gateway_makes_it(
    shell: Shell, operator: Operator, client: KubeClient, namespace: str
) -> None:
    await add_class(client, namespace)
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

    failed, _ = await asyncio.gather(shell.ohsb(*START), operate())
    assert (failed.code, failed.out) == (1, "")
    assert "error, ImageNotFound: No such image. Remedy: Push it." in failed.err


async def test_a_class_that_there_is_not_is_named_with_those_that_are(
    shell: Shell, client: KubeClient, namespace: str
) -> None:
    await add_class(client, namespace, "big")
    refused = await shell.ohsb(*START, "--class", "bigger")
    assert (refused.code, refused.out) == (1, "")
    assert "there is no SandboxClass bigger; there are: big" in refused.err
    assert (await client.list(SANDBOXES, namespace))["items"] == []
