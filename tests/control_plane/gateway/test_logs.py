"""Logs of sandboxes, read by whole gateways through the real API server from a node that the test plays."""

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

import httpx
import pytest

from control_plane.gateway.log_node import NODE, LogNode, add_pod, log_node
from control_plane.gateway.neighbours import Town
from control_plane.gateway.sleeper import NO_POD
from control_plane.gateway.support import (
    ADMIN_API_KEY,
    API_KEY,
    OTHER_API_KEY,
    Operator,
    add_api_key,
    refusal,
)
from control_plane.waiting import PATIENCE, eventually
from local_cluster.control_plane import ControlPlane
from local_cluster.pki import Pki, kubelet_serving
from sandbox_common.kube import KubeClient
from sandbox_common.kube.resources import SECRETS
from sandbox_common.log_text import CUT, LINE_BYTES
from sandbox_common.reasons import Reason
from sandbox_gateway.runtime_api.streams import LOGS

pytestmark = pytest.mark.usefixtures("api_keys")


@pytest.fixture
async def houses(houses: Town, client: KubeClient, namespace: str, operator: Operator) -> Town:
    """Alice's and Bob's sandboxes have pods."""
    for owner in (houses.alice, houses.bob):
        await add_pod(client, namespace, f"pod-with-log-of-{owner.name}")
        await operator.report(Reason.READY, name=owner.name, podUID=owner.name, podName=f"pod-with-log-of-{owner.name}")
    return houses


@pytest.fixture
async def node(client: KubeClient, control_plane: ControlPlane) -> AsyncIterator[LogNode]:
    # The API server takes only certificates of its own authority.
    pki, identity = Pki(control_plane.directory / "pki"), kubelet_serving(NODE, "127.0.0.1")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(pki.certificate(identity.name), pki.key(identity.name))
    async with log_node(client, tls) as running:
        yield running


async def log(houses: Town, name: str, api_key: str = API_KEY, replica: int = 0, **query: Any) -> httpx.Response:
    url = f"{houses.replicas[replica]}/logs/{name}"
    return await houses.http.get(url, params=query, headers={"X-API-Key": api_key})


async def read(houses: Town, replica: int = 0, **query: Any) -> str:
    """Alice's log, which there must be. Her pod may not be known yet."""

    async def there() -> str | None:
        response = await log(houses, houses.alice.name, replica=replica, **query)
        return response.text if response.status_code == 200 else None

    return await eventually(there)


@asynccontextmanager
async def following(houses: Town, api_key: str = API_KEY, **query: Any) -> AsyncGenerator[httpx.Response]:
    url = f"{houses.replicas[0]}/logs/{houses.alice.name}"
    params = {"follow": "true", **query}
    async with (
        httpx.AsyncClient(timeout=PATIENCE, trust_env=False) as http,
        http.stream("GET", url, params=params, headers={"X-API-Key": api_key}) as response,
    ):
        yield response


async def no_followers(node: LogNode) -> bool:
    return node.followers == 0


async def test_a_log_is_text_redacted_and_bounded_on_any_replica(houses: Town, node: LogNode) -> None:
    key = houses.alice.key
    node.log = (
        f"key {key}\n".encode()
        + b"\xff <script>alert(1)</script> \x1b[2J\r\n"
        + b"x" * 10_000_000
        + f"{key}\nlast".encode()
    )
    for replica in (0, 1):
        assert await read(houses, replica) == (
            f"key [redacted]\n\ufffd <script>alert(1)</script> [2J\n{'x' * LINE_BYTES}{CUT}\nlast\n"
        )
    response = await log(houses, houses.alice.name)
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert node.asked[-1]["path"].endswith(f"/pod-with-log-of-{houses.alice.name}/agent-server")


async def test_a_client_chooses_a_part(houses: Town, node: LogNode) -> None:
    node.log = b"first\n"
    await read(houses)
    assert node.asked[-1]["tailLines"] == "1000"
    await read(houses, tail=5, since="2026-01-31T13:00:00+01:00", timestamps=True)
    asked = node.asked[-1]
    assert (asked["tailLines"], asked["sinceTime"], asked["timestamps"]) == ("5", "2026-01-31T12:00:00Z", "true")
    await read(houses, since=600, tail=0)
    assert (node.asked[-1]["sinceSeconds"], node.asked[-1]["tailLines"]) == ("600", "0")
    wrong: list[dict[str, Any]] = [
        *({"since": since} for since in ("soon", 0, "9" * 30)),
        *({"tail": tail} for tail in (-1, 10_001)),
        {"follow": "x"},
    ]
    for query in wrong:
        detail = refusal(await log(houses, houses.alice.name, **query), 422)
        assert detail.startswith(f"{next(iter(query))}: ")


async def test_an_answer_has_so_many_bytes(houses: Town, node: LogNode) -> None:
    node.log = b"0123456789abcde\n" * (17 * 2**16)
    text = await read(houses)
    assert len(text) == 16 * 2**20 + len(text.rpartition("[")[2]) + 1
    assert text.endswith("16 MiB. Call again with `since`.]\n")


async def test_it_is_followed_until_either_side_ends(houses: Town, node: LogNode) -> None:
    node.log = b"first\n"
    await read(houses)
    async with following(houses) as response:
        lines = response.aiter_lines()
        assert await anext(lines) == "first"
        assert node.followers == 1
        await node.more.put(b"sec")
        await node.more.put(b"ond\n")
        assert await anext(lines) == "second"
    await eventually(partial(no_followers, node))
    async with following(houses) as response:
        lines = response.aiter_lines()
        assert await anext(lines) == "first"
        await node.more.put(b"")
        assert [line async for line in lines] == []


async def test_a_follower_ends_with_its_key(houses: Town, node: LogNode, client: KubeClient, namespace: str) -> None:
    node.log = b"first\n"
    name = await add_api_key(client, namespace, "second-key", "alice")
    await read(houses)

    async def known() -> bool:
        return (await log(houses, houses.alice.name, "second-key")).status_code == 200

    await eventually(known)
    async with following(houses, "second-key") as response:
        lines = response.aiter_lines()
        assert await anext(lines) == "first"
        await client.delete(SECRETS, namespace, name)
        async with asyncio.timeout(PATIENCE):
            assert [line async for line in lines] == []
    await eventually(partial(no_followers, node))


async def test_an_owner_has_so_many_followers(houses: Town, node: LogNode) -> None:
    node.log = b"first\n"
    await read(houses)
    kept: list[AsyncIterator[str]] = []
    async with AsyncExitStack() as stack:
        for _ in range(LOGS.each):
            response = await stack.enter_async_context(following(houses))
            # A generator that nobody keeps would end the stream.
            kept.append(response.aiter_lines())
            assert await anext(kept[-1]) == "first"
        assert "Owner alice has 8 streams" in refusal(await log(houses, houses.alice.name), 429)
        # Another owner has places of its own.
        assert (await log(houses, houses.alice.name, ADMIN_API_KEY)).status_code == 200
    await eventually(partial(no_followers, node))
    await read(houses)


async def test_an_administrator_reads_what_another_owner_does_not(houses: Town, node: LogNode) -> None:
    node.log = f"key {houses.alice.key}\n".encode()
    await read(houses)
    assert (await log(houses, houses.alice.name, ADMIN_API_KEY)).text == "key [redacted]\n"
    missing = refusal(await log(houses, "sb-abcdefghijklmnopqrstuvwx", OTHER_API_KEY), 404)
    assert refusal(await log(houses, houses.alice.name, OTHER_API_KEY), 404) == missing


async def test_why_there_is_no_log(houses: Town, node: LogNode, operator: Operator) -> None:
    name, node.log = houses.alice.name, b"first\n"
    await read(houses)
    node.status = 400
    refused = await log(houses, name)
    assert "is starting" in refusal(refused, 409)
    node.status = 500
    refused = await log(houses, name)
    assert "node of the sandbox" in refusal(refused, 503)
    assert refused.headers["retry-after"] == "5"
    node.status = 200

    async def says(words: str) -> bool:
        response = await log(houses, name)
        return response.status_code == 409 and words in refusal(response, 409)

    await operator.report(Reason.LIMIT_REACHED, "Full.", name=name, **NO_POD)
    await eventually(partial(says, "it has no pod: it is failed (LimitReached)"))
    await operator.report(Reason.PENDING, name=name, **NO_POD)
    await eventually(partial(says, "is starting"))
    await houses.http.post(f"{houses.replicas[0]}/pause", json={"runtime_id": name}, headers={"X-API-Key": API_KEY})
    await eventually(partial(says, "it is paused"))
