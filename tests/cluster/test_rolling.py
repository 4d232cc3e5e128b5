"""Open traffic while processes end: what goes on, what is told to come back, and what gets an honest answer."""

import asyncio
import os
import statistics
import subprocess
from pathlib import Path

from cluster.rolling import Clients, Seen
from cluster.runtime import READY_SECONDS, Runtime
from cluster.site import Site
from cluster.support import eventually
from demo.outside import settings
from demo.release import NAME
from demo.targets import Images
from demo.workloads import EXAMPLE, model_url, scripted_model

RATE = 200
CONVERSATIONS = 12
SOCKETS_EACH = 42
"""The agent server takes 50 for a conversation (openhands_agent_server 1.58.2)."""

HALF = "half done\n"
PAUSED = """
import sys
import facts_about_project as example

class Paused(example.Clock):
    def step(self, name, text):
        if name == "delete_facts":
            print("half done", flush=True)
            sys.stdin.readline()
        super().step(name, text)

example.Clock = Paused
sys.exit(example.main())
"""
"""The SDK's example, which waits for a line before its second task."""

KILL = "for p in /proc/[0-9]*; do grep -qa 'openhands[-]agent-server' $p/cmdline && kill -9 ${p#/proc/}; done; true"


def test_a_rollout_of_the_gateway_under_load(site: Site, images: Images) -> None:
    with Runtime(site, images.agent_server) as runtime:
        runtime.await_ready()
        model = model_url(site.release.namespace)
        conversations = [runtime.open_conversation(model) for _ in range(CONVERSATIONS)]
        seen = asyncio.run(_rolled(site, runtime, conversations, RATE, SOCKETS_EACH, "gateway"))
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


def test_the_sdk_comes_back_after_a_rollout_of_the_gateway(site: Site, sdk: Path) -> None:
    """Its conversation tells of a task that is given afterwards, over the WebSocket, as it did before."""
    variables = settings(site.release, site.url, scripted_model(site.release.namespace))
    example = subprocess.Popen(
        [str(sdk), "-c", PAUSED],
        env=os.environ | variables | {"PYTHONPATH": str(EXAMPLE.parent)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert example.stdout is not None
    said = line = ""
    try:
        for line in example.stdout:
            if line == HALF:
                break
            said += line
        assert line == HALF, said
        _roll(site, "gateway")
        rest, _ = example.communicate("go on\n", timeout=120)
    finally:
        example.kill()
        example.wait()
    assert example.returncode == 0, said + rest


def test_a_rollout_of_the_operator_is_not_noticed(site: Site, images: Images) -> None:
    with Runtime(site, images.agent_server) as runtime:
        runtime.await_ready()
        conversations = [runtime.open_conversation(model_url(site.release.namespace))]
        seen = asyncio.run(_rolled(site, runtime, conversations, RATE // 4, 10, "operator"))
    assert set(seen.answers) == {"200"}
    assert seen.answers.total() > RATE / 4, "it is asked all the time, even by a slow machine"
    assert not seen.closed


def test_an_agent_server_that_dies_in_the_middle_of_a_request(site: Site, images: Images) -> None:
    with Runtime(site, images.agent_server) as runtime:
        runtime.await_ready()
        answer = runtime.agent.post("/api/bash/execute_bash_command", json={"command": KILL, "cwd": "/workspace"})
        assert answer.status_code == 502, answer.text
        assert "broke off" in answer.json()["detail"]
        eventually(lambda: runtime.object()["status"].get("restartCount", 0), lambda count: count == 1, READY_SECONDS)
        runtime.await_ready()
        assert runtime.run("echo back") == "back\n"


async def _rolled(
    site: Site, runtime: Runtime, conversations: list[str], rate: int, sockets_each: int, process: str
) -> Seen:
    key = runtime.identity[2]
    clients = Clients(site.url, key, rate=rate, conversations=conversations, sockets_each=sockets_each)
    running = asyncio.create_task(clients.run())
    await clients.until_open()
    await asyncio.to_thread(_roll, site, process)
    clients.stop()
    return await running


def _roll(site: Site, process: str) -> None:
    """Replace its pods; return when the last old one is gone."""
    old = site.kubectl("get", "pods", f"--selector=app.kubernetes.io/component={process}", "--output=name").split()
    site.kubectl("rollout", "restart", f"deployment/{NAME}-{process}")
    site.kubectl("rollout", "status", f"deployment/{NAME}-{process}", "--timeout=180s")
    site.kubectl("wait", "--for=delete", "--timeout=120s", *old)
