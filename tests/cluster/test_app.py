"""OpenHands' own app, unmodified, in host mode: what its users do, and what lies between it, the gateway and a sandbox.

Its newer code sends and reads more, and is not on PyPI: calls with just its bodies stand for it here.
"""

import json
import uuid
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from cluster.openhands_app.server import App, free_address, running
from cluster.runtime import READY_SECONDS, Runtime
from cluster.site import Site
from cluster.support import eventually
from demo.targets import Images
from demo.workloads import model_url
from local_cluster.progress import Progress
from sandbox_crds.api import SANDBOX_LABEL

COMMAND = ["/usr/local/bin/openhands-agent-server", "--port", "60000"]
NEWER = {
    "LOG_JSON": "true",
    "OH_BASH_EVENTS_DIR": "/workspace/bash_events",
    "OH_CONVERSATIONS_PATH": "/workspace/conversations",
    "OH_ENABLE_VNC": "0",
}
APP = NEWER | {"OH_VSCODE_PORT": "60001", "OPENVSCODE_SERVER_ROOT": "/openhands/.openvscode-server"}
"""The environment that each asks for, beside what has its own address in it."""

POOLS: dict[str, dict[str, Any]] = {
    "app": {"environment": APP, "workingDir": "/workspace"},
    "newer": {"environment": NEWER, "workingDir": "/workspace/project"},
}


@pytest.fixture(scope="module")
def app(host_mode: Site, images: Images, progress: Progress, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """The app, with a warm pod for it and one for its newer code."""
    address = free_address()
    for name, pool in POOLS.items():
        # Its origin is read while the agent server boots, so the pool has to have it.
        environment = {**pool["environment"], "OH_ALLOW_CORS_ORIGINS_0": f"http://{address}"}
        spec = {**pool, "environment": environment, "image": images.agent_server, "command": COMMAND}
        host_mode.kubectl(
            "apply", "--filename", "-", body=sandbox_pool(name, {**spec, "replicas": 1, "deferredInit": True})
        )
    host_mode.kubectl("apply", "--filename", "-", body=way_to(address))
    with running(host_mode.release, address, tmp_path_factory.mktemp("app"), progress) as app:
        host_mode.kubectl("wait", "--for=condition=Ready", f"--timeout={READY_SECONDS}s", "ohsp", *POOLS)
        yield app
    host_mode.kubectl("delete", "ohsp", *POOLS, "--wait=false")


def way_to(address: str) -> dict[str, Any]:
    """The app runs on the node, which the egress profile closes: sandboxes send their events there."""
    host, _, port = address.partition(":")
    rule = {"to": [{"ipBlock": {"cidr": f"{host}/32"}}], "ports": [{"port": int(port), "protocol": "TCP"}]}
    selector = {"matchExpressions": [{"key": SANDBOX_LABEL, "operator": "Exists"}]}
    spec = {"podSelector": selector, "policyTypes": ["Egress"], "egress": [rule]}
    kind = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy"}
    return {**kind, "metadata": {"name": "to-the-app"}, "spec": spec}


def sandbox_pool(name: str, spec: dict[str, Any]) -> dict[str, Any]:
    kind = {"apiVersion": "sandbox.openhands.dev/v1alpha1", "kind": "SandboxPool"}
    return {**kind, "metadata": {"name": name}, "spec": spec}


def ask(site: Site, url: str, **headers: str) -> httpx.Response:
    """GET of an address below the sandboxes' domain, which this machine's resolver does not know."""
    parts = urlsplit(url)
    target = f"{site.url}{parts.path}?{parts.query}"
    return httpx.get(target, headers={"Host": parts.netloc, **headers}, trust_env=False, timeout=30)


def host(url: str) -> str:
    return urlsplit(url).hostname or ""


def check_urls(site: Site, sandbox: dict[str, Any]) -> None:
    """Each address that the app builds for this sandbox leads where it should."""
    urls = {exposed["name"]: exposed["url"] for exposed in sandbox["exposed_urls"]}
    assert set(urls) == {"AGENT_SERVER", "VSCODE", "WORKER_1", "WORKER_2"}
    assert ask(site, f"{urls['AGENT_SERVER']}/alive").status_code == 200
    # The gateway tells each client the port at which that client has asked.
    told: dict[str, int] = site.gateway.get(f"/sessions/{sandbox['id']}").json()["work_hosts"]
    assert {host(urls["WORKER_1"]), host(urls["WORKER_2"])} == set(map(host, told))
    for name in ("VSCODE", "WORKER_1", "WORKER_2"):
        answer = ask(site, urls[name])
        # The image has no VSCode, and nothing else listens: the right place, and it says so.
        assert answer.status_code == 503, (name, answer.text)
        assert sandbox["session_api_key"] not in answer.text


def test_a_conversation(app: App, host_mode: Site) -> None:
    """Begun as the app's own page does it, in a sandbox of its own."""
    llm = {"model": "openai/scripted", "base_url": model_url(host_mode.release.namespace), "api_key": "any"}
    app.call("POST", "/settings", json={"agent_settings_diff": {"llm": llm}})
    script = [{"tool": "terminal", "arguments": {"command": "pwd"}}, {"say": "Done."}]
    text = f"Look where you are. SCRIPT: {json.dumps(script)}"
    message = {"role": "user", "content": [{"type": "text", "text": text}], "run": True}
    task_id = app.call("POST", "/app-conversations", json={"initial_message": message})["id"]

    def task() -> dict[str, Any]:
        [seen] = app.call("GET", "/app-conversations/start-tasks", params={"ids": task_id})
        return seen

    done = eventually(task, lambda seen: seen["status"] in {"READY", "ERROR"})
    assert done["status"] == "READY", done["detail"]
    sandbox = app.await_status(done["sandbox_id"], "RUNNING")
    runtime_id = host_mode.gateway.get(f"/sessions/{sandbox['id']}").json()["runtime_id"]
    status = host_mode.kubectl("get", "ohsb", runtime_id, "--output", "json")["status"]
    assert (status["launch"], status.get("pool")) == ("Warm", "app"), status.get("poolMiss")
    check_urls(host_mode, sandbox)

    # Sandboxes send events with the agent server's key, of which the app must have the hash. It refuses some kinds
    # with 422: they are newer than its SDK.
    events = f"/conversation/{uuid.UUID(done['app_conversation_id'])}/events/search"
    eventually(
        lambda: [event["kind"] for event in app.call("GET", events, params={"limit": 100})["items"]],
        lambda kinds: "MessageEvent" in kinds,
    )
    app.call("DELETE", f"/sandboxes/{sandbox['id']}", params={"sandbox_id": sandbox["id"]})


def test_a_life(app: App, host_mode: Site) -> None:
    began = app.call("POST", "/sandboxes")
    sandbox_id = began["id"]
    assert began["status"] in {"STARTING", "RUNNING"}
    up = app.await_status(sandbox_id, "RUNNING")
    key = up["session_api_key"]
    assert app.accepts(key)
    assert not app.accepts("of nobody")
    assert sandbox_id in [sandbox["id"] for sandbox in app.call("GET", "/sandboxes/search")["items"]]
    assert [found and found["id"] for found in app.sandboxes("unknown", sandbox_id, "unknown", sandbox_id)] == [
        None,
        sandbox_id,
        None,
        sandbox_id,
    ]
    runtime_id = host_mode.gateway.get(f"/sessions/{sandbox_id}").json()["runtime_id"]

    app.call("POST", f"/sandboxes/{sandbox_id}/pause")
    app.await_status(sandbox_id, "PAUSED")
    assert not app.accepts(key), "the app forgets the key with the pause"
    app.call("POST", f"/sandboxes/{sandbox_id}/resume")
    again = app.await_status(sandbox_id, "RUNNING")
    assert (again["session_api_key"], again["exposed_urls"]) == (key, up["exposed_urls"])
    assert app.accepts(key), "the answer of /resume has the key"

    # The path's own name for it is not the one that the app reads.
    app.call("DELETE", f"/sandboxes/{sandbox_id}", params={"sandbox_id": sandbox_id})
    app.await_gone(sandbox_id)
    assert app.api.delete(f"/sandboxes/{sandbox_id}", params={"sandbox_id": sandbox_id}).status_code == 404
    assert host_mode.gateway.get(f"/sessions/{sandbox_id}").status_code == 404
    selector = f"{SANDBOX_LABEL}={runtime_id}"
    eventually(
        lambda: host_mode.kubectl("get", "pods,secrets", "--selector", selector, "--output=name"), lambda left: not left
    )


def test_it_drops_a_sandbox_that_is_gone(app: App, host_mode: Site) -> None:
    sandbox_id = app.call("POST", "/sandboxes")["id"]
    runtime_id = host_mode.gateway.get(f"/sessions/{sandbox_id}").json()["runtime_id"]
    assert host_mode.gateway.post("/stop", json={"runtime_id": runtime_id}).status_code == 200
    app.await_status(sandbox_id, "MISSING")
    assert app.api.post(f"/sandboxes/{sandbox_id}/resume").status_code == 404
    app.call("DELETE", f"/sandboxes/{sandbox_id}", params={"sandbox_id": sandbox_id})
    app.await_gone(sandbox_id)


@pytest.fixture(scope="module")
def newer(app: App, host_mode: Site) -> Iterator[Runtime]:
    """A sandbox that the newer app would start: with what the warm configuration says, and its own variables."""
    configs = host_mode.gateway.get("/api/warm-runtime-configs").json()["configs"]
    [config] = [config for config in configs if config["name"] == "newer"]
    assert {config[name] for name in ("run_as_user", "run_as_group", "fs_group")} == {10001}
    with Runtime(host_mode, config["image"], **newer_body(app.url, config)) as runtime:
        runtime.await_ready()
        yield runtime


def newer_body(url: str, config: dict[str, Any]) -> dict[str, Any]:
    """The fields of /start that the newer app at `url` makes from a warm configuration, but for session and image."""
    same = ("command", "working_dir", "run_as_user", "run_as_group", "fs_group")
    environment = {
        **config["environment"],
        "OH_WEBHOOKS_0_BASE_URL": f"{url}/api/v1/webhooks",
        "OH_ALLOW_CORS_ORIGINS_0": url,
        "OH_LLM_API_KEY_REFRESH_URL": f"{url}/api/keys/llm/managed/current",
        "OH_LLM_API_KEY_REFRESH_HEADERS": json.dumps({"X-Session-API-Key": "${SESSION_API_KEY}"}),
        "OH_LLM_API_KEY_REFRESH_BASE_URLS": "http://llm-proxy.example",
        "WORKER_1": "12000",
        "WORKER_2": "12001",
    }
    return {"environment": environment, "resource_factor": 1, **{name: config[name] for name in same}}


def test_the_newer_app_takes_a_warm_pod(newer: Runtime) -> None:
    status = newer.object()["status"]
    assert (status["launch"], status.get("pool")) == ("Warm", "newer"), status.get("poolMiss")


def test_the_key_that_refreshes_models_keys(newer: Runtime) -> None:
    pod = newer.site.kubectl("get", "pod", newer.object()["status"]["podName"], "--output", "json")
    variables = {variable["name"]: variable for variable in pod["spec"]["containers"][0]["env"]}
    sources = [variables[name]["valueFrom"] for name in ("SESSION_API_KEY", "OH_SESSION_API_KEYS_0")]
    assert sources[0] == sources[1]
    assert newer.run("env | grep -c -e '^SESSION_API_KEY' -e '^OH_SESSION' || true") == "0\n", "commands have no key"


def test_its_directory_is_the_users(newer: Runtime) -> None:
    assert (
        newer.run("cd /workspace/project && git init --quiet && touch file && stat --format=%u . file")
        == "10001\n10001\n"
    )


def test_what_the_newer_app_reads(newer: Runtime) -> None:
    seen = newer.look()
    assert seen["status_detail"] is None
    ids = [newer.session_id, "unknown", newer.session_id]
    batch = newer.site.gateway.get("/sessions/batch", params={"ids": ids}).json()
    assert [found and found["session_id"] for found in batch] == [newer.session_id, None, newer.session_id]
    assert newer.call("resume")["status"] == "running", "one that runs is resumed already"


def test_the_newer_app_can_say_why_a_start_fails(app: App, host_mode: Site) -> None:
    config = {"command": COMMAND, "working_dir": "/workspace/project", "environment": NEWER}
    body = newer_body(app.url, {**config, "run_as_user": 10001, "run_as_group": 10001, "fs_group": 10001})
    with Runtime(host_mode, "localhost/not-there:1", **body) as runtime:
        told = eventually(runtime.look, lambda seen: seen["status_detail"] is not None)
        assert "ImagePull" in told["status_detail"]
        assert told["status"] in {"starting", "error"}
