"""What the gateway's list and a key's policy allow: refused before anything is written, and what is there stays."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from control_plane.audit import Audit
from control_plane.gateway.support import API_KEY, USER_AGENT, Operator, Replica, add_api_key, refusal, replica
from control_plane.waiting import eventually
from local_cluster.control_plane import ControlPlane
from sandbox_common.keys import MasterKeys
from sandbox_common.kube import KubeClient
from sandbox_common.kube.resources import SANDBOX_CLASSES, SECRETS
from sandbox_common.reasons import Reason

STARTED = "2026-01-02T03:04:05Z"
ALLOWED = "ghcr.io/openhands/agent-server:1"
BODY = {"image": ALLOWED, "session_id": "s"}


class Key:
    """Alice's key, whose policy changes."""

    def __init__(self, client: KubeClient, namespace: str, secret: str, gateway: Replica) -> None:
        self._client = client
        self._namespace = namespace
        self._secret = secret
        self._gateway = gateway

    async def allows(self, **policy: Any) -> None:
        """Return once the gateway knows this policy."""
        text = json.dumps(policy)
        await self._client.patch(SECRETS, self._namespace, self._secret, {"stringData": {"policy": text}})

        async def known() -> bool:
            key = self._gateway.gateway.api_keys.find(API_KEY)
            return (
                key is not None
                and json.loads(key.policy.model_dump_json(by_alias=True, exclude_defaults=True)) == policy
            )

        await eventually(known)


@pytest.fixture
async def strict(
    control_plane: ControlPlane, client: KubeClient, namespace: str, master_keys: MasterKeys
) -> AsyncIterator[tuple[Replica, Key]]:
    """A gateway that allows only images of OpenHands and Quay, and the key of its client."""
    secret = await add_api_key(client, namespace, API_KEY, "alice")
    images = ("ghcr.io/openhands/*", "quay.io/*")
    async with replica(control_plane.kubeconfig, namespace, master_keys, allowed_images=images) as running:
        following = asyncio.create_task(running.gateway.classes.informer.run())
        yield running, Key(client, namespace, secret, running)
        following.cancel()


async def refused(gateway: Replica, **fields: Any) -> str:
    return refusal(await gateway.http.post("/start", json={**BODY, **fields}), 403)


async def failed(gateway: Replica, operator: Operator, **status: Any) -> dict[str, Any]:
    """The only Sandbox, which has failed."""
    fields: dict[str, Any] = {"startTime": STARTED, **status}
    sandbox = await operator.report(Reason.CRASH_LOOP_BACK_OFF, "exit code 1", **fields)
    await gateway.catch_up(sandbox)
    return sandbox


async def test_what_is_not_allowed_is_refused_and_nothing_is_written(
    strict: tuple[Replica, Key], operator: Operator, client: KubeClient, namespace: str, audit: Audit
) -> None:
    gateway, key = strict
    for image in ("docker.io/library/busybox", "agent:1", "ghcr.io.evil.com/openhands/x", "sha256:0a"):
        assert "image: " in (detail := await refused(gateway, image=image))
        assert "this gateway's list" in detail
    await key.allows(images=["ghcr.io/*@sha256:*"], classes=["small"], limits={"resourceFactor": 2})
    assert "your API key's list" in await refused(gateway)
    pinned = f"ghcr.io/openhands/agent-server@sha256:{'0' * 64}"
    assert "limits.resourceFactor in its policy is 2" in await refused(gateway, image=pinned, resource_factor=4)
    assert "Allowed are: small." in await refused(gateway, image=pinned, sandbox_class="default")
    assert await operator.sandboxes() == []
    assert await audit.writes(client, namespace, USER_AGENT) == []
    await gateway.start("s", image=pinned, resource_factor=2)
    spec = (await operator.only())["spec"]
    assert (spec["image"], spec["className"], spec["resourceFactor"]) == (pinned, "small", 2)


async def test_a_client_chooses_among_the_classes_of_its_key(strict: tuple[Replica, Key], operator: Operator) -> None:
    gateway, key = strict
    await key.allows(classes=["small", "large"])
    for session, fields in (("1", {}), ("2", {"sandbox_class": "large"}), ("3", {"sandbox_class": ""})):
        await gateway.start(session, image=ALLOWED, **fields)
    classes = {sandbox["spec"]["sessionID"]: sandbox["spec"]["className"] for sandbox in await operator.sandboxes()}
    assert classes == {"1": "small", "2": "large", "3": "small"}


async def test_what_was_started_before_the_list_changed_stays(strict: tuple[Replica, Key], operator: Operator) -> None:
    gateway, key = strict
    started = await gateway.start("s", image="quay.io/a")
    await key.allows(images=["ghcr.io/*"])
    await gateway.catch_up(await operator.report(Reason.CONTAINER_RESTARTING))
    assert (await gateway.start("s", image="quay.io/a"))["runtime_id"] == started["runtime_id"]
    await gateway.post("/pause", started["runtime_id"])
    await gateway.start("s", image="quay.io/a")
    assert (await operator.only())["spec"]["suspend"] is False
    await refused(gateway, session_id="another", image="quay.io/a")


async def test_a_failed_one_is_given_no_image_that_is_not_allowed(
    strict: tuple[Replica, Key], operator: Operator
) -> None:
    gateway, key = strict
    await gateway.start("s", image="quay.io/a")
    await key.allows(images=["ghcr.io/*"], limits={"resourceFactor": 1})
    sandbox = await failed(gateway, operator, firstReadyTime=STARTED)
    await refused(gateway, image="quay.io/b")
    await refused(gateway, image="quay.io/a", resource_factor=2)
    assert (await operator.only())["spec"] == sandbox["spec"]
    await gateway.start("s", image="quay.io/a")
    assert (await operator.only())["spec"]["restartedAt"] > STARTED
    await failed(gateway, operator, firstReadyTime=STARTED, startTime="2100-01-01T00:00:00Z")
    await gateway.start("s", image=ALLOWED)
    assert (await operator.only())["spec"]["image"] == ALLOWED


async def test_a_class_that_is_not_allowed_is_refused_and_one_that_is_can_be_had_before_the_first_pod(
    strict: tuple[Replica, Key], operator: Operator
) -> None:
    gateway, key = strict
    await gateway.start("s", image=ALLOWED)
    await key.allows(classes=["small"])
    sandbox = await operator.report(Reason.SANDBOX_CLASS_NOT_FOUND)
    await gateway.catch_up(sandbox)
    await refused(gateway, sandbox_class="large")
    await refused(gateway, environment={"OHSB_CLASS": "large"})
    assert (await operator.only())["spec"] == sandbox["spec"]
    await gateway.start("s", image=ALLOWED, sandbox_class="small")
    found = await operator.only()
    assert (found["spec"]["className"], found["metadata"]["uid"]) == ("small", sandbox["metadata"]["uid"])


async def test_the_image_that_a_class_brings_the_agent_server_from_must_be_allowed_too(
    strict: tuple[Replica, Key], operator: Operator, client: KubeClient, namespace: str
) -> None:
    gateway, key = strict
    for name, image in (("ours", ALLOWED), ("theirs", "docker.io/library/agent-server")):
        body = {"apiVersion": SANDBOX_CLASSES.api_version, "kind": SANDBOX_CLASSES.kind, "metadata": {"name": name}}
        await client.create(SANDBOX_CLASSES, namespace, {**body, "spec": {"agentServer": {"image": image}}})

    async def known() -> bool:
        return all(gateway.gateway.classes.spec(name).agent_server for name in ("ours", "theirs"))

    await eventually(known)
    await key.allows(classes=["ours", "theirs"])
    started = await gateway.start("s", image="quay.io/a")
    detail = await refused(gateway, session_id="another", sandbox_class="theirs")
    assert "agentServer.image of SandboxClass theirs: 'docker.io/library/agent-server' is not allowed" in detail
    await key.allows(classes=["ours", "theirs"], images=["quay.io/*"])
    assert "your API key's list" in await refused(gateway, image="quay.io/b", session_id="another")
    # What is there stays.
    await gateway.post("/pause", started["runtime_id"])
    await gateway.start("s", image="quay.io/a")
    assert (await operator.only())["spec"]["suspend"] is False


async def test_a_keys_limit_of_life_is_written_and_holds_for_what_is_started_again(
    strict: tuple[Replica, Key], operator: Operator, client: KubeClient, namespace: str
) -> None:
    gateway, key = strict
    for name, seconds in (("brief", 100), ("lasting", 0)):
        body = {"apiVersion": SANDBOX_CLASSES.api_version, "kind": SANDBOX_CLASSES.kind, "metadata": {"name": name}}
        await client.create(SANDBOX_CLASSES, namespace, {**body, "spec": {"maximumLifeSeconds": seconds}})
    await gateway.gateway.classes.informer.wait_synced()

    async def known() -> bool:
        return gateway.gateway.classes.spec("brief").maximum_life_seconds == 100

    await eventually(known)

    async def life(session: str) -> int | None:
        [found] = [one for one in await operator.sandboxes() if one["spec"]["sessionID"] == session]
        return found["spec"].get("maximumLifeSeconds")

    await key.allows(classes=["lasting", "brief"])
    started = await gateway.start("s", image=ALLOWED)
    assert await life("s") is None
    await key.allows(classes=["lasting", "brief"], limits={"lifeSeconds": 600})
    await gateway.start("new", image=ALLOWED)
    await gateway.start("new and brief", image=ALLOWED, sandbox_class="brief")
    assert (await life("new"), await life("new and brief")) == (600, 100)
    # One that was there before the limit gets it with its next start.
    await gateway.start("s", image=ALLOWED)
    assert await life("s") is None
    await gateway.post("/pause", started["runtime_id"])
    await gateway.start("s", image=ALLOWED)
    assert await life("s") == 600
    await key.allows(classes=["lasting", "brief"], limits={"lifeSeconds": 300})
    name = started["runtime_id"]
    sandbox = await operator.report(
        Reason.CRASH_LOOP_BACK_OFF, "exit code 1", name=name, startTime=STARTED, firstReadyTime=STARTED
    )
    await gateway.catch_up(sandbox)
    await gateway.start("s", image=ALLOWED)
    assert await life("s") == 300
