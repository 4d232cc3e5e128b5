"""Idle sandboxes are suspended and wake on traffic; working ones are left alone, whatever restarts."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

from cluster.audit import Audit
from cluster.runtime import Runtime, identity
from cluster.site import Site
from cluster.support import eventually
from demo.targets import Images
from demo.workloads import deploy_model, model_url

LIMIT = 20
CHECK = 15
# Silent for longer than the limit and two checks.
THINK = LIMIT + 2 * CHECK + 15
SLOW_MODEL = "slow-model"
AT_ONCE = 100


@pytest.fixture(scope="module")
def slow_model(persistent: Site) -> str:
    """The URL of a model that is silent for a long time before it answers."""
    deploy_model(persistent.release, SLOW_MODEL, think=THINK)
    return model_url(persistent.release.namespace, SLOW_MODEL)


@pytest.fixture(scope="module")
def shared(persistent: Site, images: Images) -> Iterator[Runtime]:
    with Runtime(persistent, images.agent_server) as runtime:
        runtime.await_ready()
        yield runtime


@pytest.fixture
def idle(shared: Runtime) -> Runtime:
    """A sandbox with a volume that is suspended for idleness; its class lets handshakes wake it."""
    if shared.condition()["reason"] != "Idle":
        shared.await_ready()
        shared.make_idle()
    return shared


def test_a_silent_model_is_work_and_afterwards_it_is_suspended_and_wakes(
    persistent: Site, images: Images, slow_model: str
) -> None:
    with Runtime(persistent, images.agent_server, idle_timeout_seconds=LIMIT) as runtime:
        runtime.await_ready()
        runtime.run("echo kept > note.txt")
        conversation = runtime.converse("Say something.", slow_model)
        began = time.monotonic()
        persistent.await_processes(persistent.delete_processes())
        # Nobody asks the sandbox for anything; the Sandbox itself is looked at.
        while time.monotonic() < began + THINK - 5:
            assert runtime.condition()["reason"] == "Ready", runtime.condition()
            time.sleep(1)

        eventually(lambda: runtime.condition()["reason"], lambda seen: seen == "Idle", 5 + LIMIT + 4 * CHECK)
        assert runtime.object()["spec"]["suspendReason"] == "Idle"
        seen = runtime.look()
        assert seen["status"] == "paused"
        assert identity(seen) == runtime.identity
        events = persistent.kubectl("get", "events", "--output", "json")["items"]
        assert any(
            event["reason"] == "SuspendedIdle" and event["involvedObject"]["name"] == runtime.id for event in events
        )

        # The work was finished before the pause, and a request finds it.
        assert runtime.conversation_status(conversation) == "finished"
        assert runtime.run("cat note.txt") == "kept\n"
        assert runtime.object()["status"]["launch"] == "Resume"


def test_health_checks_and_strangers_do_not_wake(idle: Runtime) -> None:
    for path in ("/health", "/alive", "/ready", "/server_info"):
        assert idle.agent.get(path).status_code in {200, 503}
    with httpx.Client(base_url=idle.agent.base_url, trust_env=False) as stranger:
        for key in ("wrong", f"{idle.agent.headers['X-Session-API-Key']}x"):
            answer = stranger.get("/api/conversations/count", headers={"X-Session-API-Key": key})
            assert 400 <= answer.status_code < 500
    assert idle.object()["spec"]["suspend"] is True


def test_a_hundred_requests_at_once_are_one_wake(idle: Runtime) -> None:
    audit = Audit()
    all_there = threading.Barrier(AT_ONCE)

    def ask(_: int) -> int:
        # Each on a connection of its own, so that both replicas have some.
        headers = dict(idle.agent.headers)
        with httpx.Client(base_url=idle.agent.base_url, headers=headers, timeout=60, trust_env=False) as client:
            all_there.wait()
            return client.get("/api/conversations/count").status_code

    with ThreadPoolExecutor(AT_ONCE) as pool:
        assert set(pool.map(ask, range(AT_ONCE))) == {200}
    assert audit.count(idle.id, "patch", "sandboxes", "sandbox-gateway") == 1
    assert audit.count(idle.object()["status"]["podName"], "create", "pods", "sandbox-operator") == 1


def test_a_handshake_wakes_where_the_class_says_so(idle: Runtime) -> None:
    with shake_hands(idle) as socket:
        socket.ping().wait(10)
    assert idle.condition()["reason"] == "Ready"


def test_a_handshake_does_not_wake_where_the_class_does_not_say_so(site: Site, images: Images) -> None:
    with Runtime(site, images.agent_server) as runtime:
        runtime.await_ready()
        runtime.make_idle()
        with pytest.raises(InvalidStatus) as refusal:
            shake_hands(runtime)
        assert refusal.value.response.status_code == 503
        assert runtime.condition()["reason"] == "Idle"
        # Any other request does, also without a volume.
        runtime.agent.get("/api/conversations/count").raise_for_status()
        assert runtime.condition()["reason"] == "Ready"


def shake_hands(runtime: Runtime) -> ClientConnection:
    """Open the agent server's WebSocket of commands, with the key in the handshake."""
    url = str(runtime.agent.base_url.copy_with(scheme="ws", path="/sockets/bash-events"))
    key = runtime.agent.headers["X-Session-API-Key"]
    return connect(url, additional_headers={"X-Session-API-Key": key}, open_timeout=60, proxy=None)
