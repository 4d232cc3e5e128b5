"""Logs, read from a server in the API server's place."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from aiohttp import web

from sandbox_common.kube import ApiError, KubeClient
from sandbox_common.reasons import Reason
from sandbox_common.sandboxes.view import View
from sandbox_gateway.contract.errors import GatewayError
from sandbox_gateway.sandboxes import logs
from sandbox_gateway.sandboxes.logs import LogQuery, Logs
from sandbox_gateway.sandboxes.session_secrets import SessionSecrets
from unit.sandbox_common.kube.test_client import connected
from unit.sandbox_gateway.support import KEYS, sandbox, status, unconnected_cache

RUNNING = View("running", "ready", Reason.READY, "")
STARTING = View("starting", "pending", Reason.STARTING, "")
PAUSED = View("paused", "not found", Reason.SUSPENDED, "")
FAILED = View("error", "failed", Reason.INVALID_IMAGE_NAME, "")
ALL = LogQuery(tail=1000)


class Node:
    """Answers with `text`, or refuses with `status`; `broken` answers break off."""

    def __init__(self) -> None:
        self.text = b""
        self.status = 200
        self.broken = False
        self.asked: list[web.Request] = []

    async def serve(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request)
        if self.status != 200:
            return web.json_response({"message": "no", "reason": "No"}, status=self.status)
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(self.text)
        if self.broken:
            assert request.transport
            request.transport.close()
        return response


@pytest.fixture
def node() -> Node:
    return Node()


@pytest.fixture
async def client(node: Node) -> AsyncIterator[KubeClient]:
    async with connected(node.serve, 0) as client:
        yield client


async def read(client: KubeClient, seen: View = RUNNING, query: LogQuery = ALL, pod: str = "pod") -> bytes:
    found = sandbox(status=status(Reason.READY, podName=pod))
    reader = Logs(client, "test", SessionSecrets(KEYS, unconnected_cache()))
    return b"".join([piece async for piece in reader.read(found, seen, query)])


async def test_the_log_of_the_present_pod_without_its_keys(client: KubeClient, node: Node) -> None:
    key_id = KEYS.key_id("uid-1")
    node.text = f"{KEYS.session_key(key_id)} {KEYS.secret_key(key_id)}\nlast".encode()
    assert await read(client) == b"[redacted] [redacted]\nlast\n"
    [asked] = node.asked
    assert asked.path == "/api/v1/namespaces/test/pods/pod/log"
    assert dict(asked.query) == {"container": "agent-server", "tailLines": "1000"}


async def test_a_part_of_it(client: KubeClient, node: Node) -> None:
    since = datetime(2026, 1, 31, 12, tzinfo=UTC)
    await read(client, query=LogQuery(5, since, follow=True, timestamps=True))
    await read(client, query=LogQuery(5, 600))
    first, second = [dict(asked.query) for asked in node.asked]
    assert (first["sinceTime"], first["follow"], first["timestamps"]) == ("2026-01-31T12:00:00Z", "true", "true")
    assert (second["sinceSeconds"], second["tailLines"], "follow" in second) == ("600", "5", False)


async def test_it_ends_after_so_many_bytes(client: KubeClient, node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "MOST_BYTES", 1000)
    node.text = b"123456789\n" * 1000
    text = await read(client)
    assert text.startswith(b"123456789\n" * 100 + b"[The gateway ends this log")
    assert text.count(b"\n") == 101


async def test_one_that_breaks_off_says_so(client: KubeClient, node: Node) -> None:
    node.text, node.broken = b"first\nsec", True
    assert (await read(client)).startswith(b"first\nsec\n[The log broke off")


@pytest.mark.parametrize(
    ("seen", "pod", "code", "refusal", "words"),
    [
        (PAUSED, "pod", 200, 409, "it is paused"),
        (FAILED, "", 200, 409, r"it is failed \(InvalidImageName\)"),
        (STARTING, "", 200, 409, "because it is starting"),
        (STARTING, "pod", 400, 409, "because it is starting"),
        (RUNNING, "pod", 404, 409, "because it is starting"),
        (FAILED, "pod", 400, 409, "it is failed"),
        (RUNNING, "pod", 500, 503, "the node of the sandbox"),
        (RUNNING, "pod", 503, 503, "the node of the sandbox"),
    ],
)
async def test_why_there_is_none(
    client: KubeClient, node: Node, seen: View, pod: str, code: int, refusal: int, words: str
) -> None:
    node.status = code
    with pytest.raises(GatewayError, match=words) as raised:
        await read(client, seen, pod=pod)
    assert raised.value.status == refusal


async def test_without_the_right_the_gateway_says_so_itself(client: KubeClient, node: Node) -> None:
    node.status = 403
    with pytest.raises(ApiError):
        await read(client)
