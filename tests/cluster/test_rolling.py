"""Replicas of the gateway are replaced under load: no request fails, and each WebSocket is told to come back."""

import asyncio
import statistics

from cluster.rolling import Clients, Seen
from cluster.runtime import Runtime
from cluster.site import Site
from demo.release import NAME
from demo.targets import Images
from demo.workloads import model_url

RATE = 200
CONVERSATIONS = 12
SOCKETS_EACH = 42
"""The agent server takes 50 for a conversation (openhands_agent_server 1.58.2)."""


def test_a_rollout_under_load(site: Site, images: Images) -> None:
    with Runtime(site, images.agent_server) as runtime:
        runtime.await_ready()
        model = model_url(site.release.namespace)
        conversations = [runtime.open_conversation(model) for _ in range(CONVERSATIONS)]
        seen = asyncio.run(_rolled(site, runtime, conversations))
    print(
        f"{seen.answers.total()} requests in {seen.seconds:.0f} s, slowest {seen.slowest:.2f} s; "
        f"{seen.closed.total()} WebSockets closed, back after {statistics.median(seen.away):.3f} s (median), "
        f"{max(seen.away):.3f} s (longest)"
    )
    assert set(seen.answers) == {"200"}
    # Each was on one of the old replicas; one that met with a replica that was to go had to move twice.
    assert set(seen.closed) == {1012}
    assert seen.closed.total() >= CONVERSATIONS * SOCKETS_EACH
    assert len(seen.away) == seen.closed.total()
    assert seen.refused == []


async def _rolled(site: Site, runtime: Runtime, conversations: list[str]) -> Seen:
    key = runtime.identity[2]
    clients = Clients(site.url, key, rate=RATE, conversations=conversations, sockets_each=SOCKETS_EACH)
    running = asyncio.create_task(clients.run())
    await clients.until_open()
    old = await asyncio.to_thread(_pods, site)
    await asyncio.to_thread(site.kubectl, "rollout", "restart", f"deployment/{NAME}-gateway")
    await asyncio.to_thread(site.kubectl, "rollout", "status", f"deployment/{NAME}-gateway", "--timeout=180s")
    await asyncio.to_thread(site.kubectl, "wait", "--for=delete", "--timeout=120s", *old)
    clients.stop()
    return await running


def _pods(site: Site) -> list[str]:
    return site.kubectl("get", "pods", "--selector=app.kubernetes.io/component=gateway", "--output=name").split()
