"""`kubectl ohsb logs` through the real API server, from a node that the test plays."""

import asyncio
import ssl
from collections.abc import AsyncIterator

import pytest

from control_plane.gateway.log_node import NODE, LogNode, add_pod, log_node
from control_plane.gateway.support import Operator
from control_plane.kubectl_ohsb.support import Shell, add_sandbox
from local_cluster.control_plane import ControlPlane
from local_cluster.pki import Pki, kubelet_serving
from sandbox_common.kube import KubeClient
from sandbox_common.kube.resources import SECRETS
from sandbox_common.log_text import CUT
from sandbox_common.reasons import Reason
from sandbox_common.redaction import REDACTED


@pytest.fixture
async def node(
    client: KubeClient, namespace: str, shell: Shell, operator: Operator, control_plane: ControlPlane
) -> AsyncIterator[LogNode]:
    """A node with the pod of the sandbox sb-a, whose Secret has two keys."""
    await add_sandbox(client, namespace, "sb-a")
    await add_pod(client, namespace, "pod")
    await operator.report(Reason.READY, name="sb-a", podName="pod")
    keys = {"OH_SESSION_API_KEYS_0": "the-session-key", "OH_SECRET_KEY": "the-secret-key"}
    await client.create(SECRETS, namespace, {"metadata": {"name": "pod"}, "stringData": keys})
    # The API server takes only certificates of its own authority.
    pki, identity = Pki(control_plane.directory / "pki"), kubelet_serving(NODE, "127.0.0.1")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(pki.certificate(identity.name), pki.key(identity.name))
    async with log_node(client, tls) as running:
        yield running


async def test_hostile_bytes_are_shown_as_text_without_keys(shell: Shell, node: LogNode) -> None:
    node.log = (
        b"\x1b[2J\x1b]0;owned\x07 <script>\n\xff\xfe the-session-key the-secret-key\n" + b"x" * 10_000_000 + b"\nlast"
    )
    shown = await shell.ohsb("logs", "sb-a", "--since", "5m", "--tail", "3")
    assert (shown.code, shown.err) == (0, "")
    first, second, third, last = shown.out.splitlines()
    assert first == "[2J]0;owned <script>"
    assert second == f"\ufffd\ufffd {REDACTED} {REDACTED}"
    assert third.endswith(CUT)
    assert last == "last"
    [asked] = node.asked
    assert (asked["sinceSeconds"], asked["tailLines"]) == ("300", "3")


async def test_a_log_is_followed_until_it_ends(shell: Shell, node: LogNode) -> None:
    node.log = b"one\n"

    async def goes_on() -> None:
        for data in (b"tw", b"o\n", b""):
            await node.more.put(data)

    followed, _ = await asyncio.gather(shell.ohsb("logs", "-f", "sb-a"), goes_on())
    assert (followed.code, followed.out) == (0, "one\ntwo\n")


async def test_what_there_is_not_is_refused_with_the_next_step(
    shell: Shell, node: LogNode, client: KubeClient, namespace: str
) -> None:
    await add_sandbox(client, namespace, "sb-off", suspend=True)
    assert "kubectl ohsb resume sb-off" in (await shell.ohsb("logs", "sb-off")).err
    node.status = 400
    refused = await shell.ohsb("logs", "--previous", "sb-a")
    assert (refused.code, refused.out) == (1, "")
    assert "sb-a" in refused.err
