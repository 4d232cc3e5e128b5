"""Warm pods of the real agent server: claimed by the unmodified SDK and other clients, with two operators at work."""

import json
import os
import signal
import subprocess
import time
import uuid
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.bad_storage import FULL, REASONS, unbound
from cluster.needles import MARK
from cluster.runtime import READY_SECONDS, Runtime, identity
from cluster.sdk_uses import COMMAND
from cluster.site import Site, installed
from cluster.support import NAMESPACE, eventually
from demo.local_target import LocalTarget
from demo.release import NAME
from demo.targets import Images
from local_cluster.progress import Progress
from sandbox_crds.api import POOL_LABEL, SANDBOX_LABEL

PROJECT = "/workspace/project"
"""Where the OpenHands app works."""
POOLED = {"POOLED": "yes", "OH_CONVERSATIONS_PATH": "/workspace/conversations"}
SECRET = {"CLIENT_TOKEN": f"{MARK}{uuid.uuid4().hex}"}
IDLE_SECONDS = 20
LASTING = "lasting"
"""A class with volumes, and its pool."""
WORKSPACE = {"persistent": True, "size": "1Gi"}
MISSING_IMAGE = "localhost/not-there:1"
KILL = "for p in /proc/[0-9]*; do grep -qa 'openhands[-]agent-server' $p/cmdline && kill -9 ${p#/proc/}; done; true"

START = """
import json, os, sys, time
from openhands.workspace import APIRemoteWorkspace

url, image, session = sys.argv[1:]
began = time.monotonic()
workspace = APIRemoteWorkspace(
    runtime_api_url=url,
    runtime_api_key=os.environ["RUNTIME_API_KEY"],
    server_image=image,
    session_id=session,
    keep_alive=True,
)
seconds = time.monotonic() - began
done = workspace.execute_command("echo $((6 * 7))")
assert done.stdout.strip() == "42", done
print(json.dumps({
    "seconds": seconds,
    "runtime_id": workspace._runtime_id,
    "url": workspace._runtime_url,
    "session_api_key": workspace._session_api_key,
}))
"""
PAUSE_AND_RESUME = """
workspace.pause()
workspace.resume()
done = workspace.execute_command("echo $((6 * 7))")
assert done.stdout.strip() == "42", done
"""


@pytest.fixture(scope="module")
def pooled(
    target: LocalTarget, images: Images, progress: Progress, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """A release with pools, some of them of no use."""
    image = images.agent_server
    pools = {
        "sdk": {"image": image, "command": COMMAND, "workingDir": "/"},
        "late": {
            "image": image,
            "command": COMMAND,
            "workingDir": PROJECT,
            "environment": POOLED,
            "deferredInit": True,
        },
    }
    with installed(target, images, progress, f"{NAMESPACE}-pools", pools=pools, discards=True) as site:
        short = site.kubectl("get", "ohsc", "default", "--output", "json")
        metadata = {"name": "short", "namespace": site.release.namespace}
        spec = {**short["spec"], "idleTimeoutSeconds": IDLE_SECONDS}
        site.kubectl("apply", "--filename", "-", body={**short, "metadata": metadata, "spec": spec})
        site.kubectl("apply", "--filename", "-", body=sandbox_pool("short", image=image, className="short", replicas=0))
        body = {**short, "metadata": {**metadata, "name": LASTING}, "spec": {**short["spec"], "workspace": WORKSPACE}}
        site.kubectl("apply", "--filename", "-", body=body)
        site.kubectl("apply", "--filename", "-", body=sandbox_pool(LASTING, image=image, className=LASTING, replicas=0))
        # Not among the values: Helm waits until pools are filled.
        site.kubectl("apply", "--filename", "-", body=sandbox_pool("broken", image=MISSING_IMAGE, replicas=2))
        with unbound(site, image, short["spec"], tmp_path_factory.mktemp("volume")):
            yield site


@pytest.fixture
def full(pooled: Site) -> Site:
    """The release when its pools of use are full."""
    for name in ("sdk", "late"):
        await_free(pooled, name)
    return pooled


def sandbox_pool(name: str, **spec: object) -> dict[str, Any]:
    return {
        "apiVersion": "sandbox.openhands.dev/v1alpha1",
        "kind": "SandboxPool",
        "metadata": {"name": name},
        "spec": spec,
    }


def pool(site: Site, name: str) -> dict[str, Any]:
    return site.kubectl("get", "ohsp", name, "--output", "json")


def pool_condition(site: Site, name: str) -> dict[str, Any]:
    return (pool(site, name).get("status", {}).get("conditions") or [{"reason": ""}])[0]


def free_pods(site: Site, name: str) -> list[dict[str, Any]]:
    selector = f"{POOL_LABEL}={name},{SANDBOX_LABEL}="
    pods = site.kubectl("get", "pods", "--selector", selector, "--output", "json")["items"]
    return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]


def is_ready(pod: dict[str, Any]) -> bool:
    conditions = pod["status"].get("conditions", [])
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def await_free(site: Site, name: str, count: int = 1, seconds: float = READY_SECONDS) -> list[dict[str, Any]]:
    """The pool's free pods, once as many are ready as it is to keep."""
    return eventually(
        lambda: free_pods(site, name), lambda pods: sum(map(is_ready, pods)) == count == len(pods), seconds
    )


def use_sdk(site: Site, sdk: Path, session: str, more: str = "") -> dict[str, Any]:
    done = subprocess.run(
        [str(sdk), "-c", START + more, site.url, site.release.images.agent_server, session],
        env=site.sdk_environment(),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


def leader(site: Site) -> str:
    """Name of the operator's pod that holds the Lease."""
    spec = site.kubectl("get", "lease", f"{NAME}-operator", "--output", "json")["spec"]
    holder = spec.get("holderIdentity") or ""
    pods = site.kubectl("get", "pods", "--selector=app.kubernetes.io/component=operator", "--output=name").split()
    return next((name for pod in pods if holder.startswith(name := pod.removeprefix("pod/"))), "")


def kill_process(site: Site, pod: str) -> None:
    """kill -9 of the process in an operator's pod, as this machine sees it."""
    uid = site.kubectl("get", "pod", pod, "--output", "json")["metadata"]["uid"]
    killed = 0
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdecimal() and uid in (process / "cgroup").read_text():
                command = (process / "cmdline").read_bytes()
                if b"sandbox-operator" in command:
                    os.kill(int(process.name), signal.SIGKILL)
                    killed += 1
        except (FileNotFoundError, ProcessLookupError):
            continue
    assert killed, f"no process of {pod} found"


def test_the_sdk_gets_a_warm_pod_and_the_pool_is_refilled(full: Site, sdk: Path, progress: Progress) -> None:
    [warm] = await_free(full, "sdk")
    session = f"warm-{time.time_ns()}"
    try:
        told = use_sdk(full, sdk, session)
        progress.say(f"  the SDK's constructor took {told['seconds']:.2f} s with a warm pod")
        name = told["runtime_id"]
        sandbox = full.kubectl("get", "ohsb", name, "--output", "json")
        assert sandbox["status"]["launch"] == "Warm"
        assert sandbox["status"]["pool"] == "sdk"
        assert sandbox["status"]["podName"] == warm["metadata"]["name"]
        assert sandbox["status"].get("poolMiss", "") == ""
        claimed = full.kubectl("get", "pod", warm["metadata"]["name"], "--output", "json")
        assert claimed["metadata"]["labels"][SANDBOX_LABEL] == name
        [owner] = claimed["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["uid"]) == ("Sandbox", sandbox["metadata"]["uid"])
        assert told["session_api_key"] not in json.dumps(claimed)

        explained = full.gateway.get(f"/explain/{name}")
        assert explained.status_code == 200
        assert "sdk" in explained.text

        [refill] = await_free(full, "sdk")
        assert refill["metadata"]["uid"] != warm["metadata"]["uid"]
        status = eventually(
            lambda: pool(full, "sdk")["status"],
            lambda status: (status["readyReplicas"], status["claimedPods"]) == (1, 1),
        )
        assert status["replicas"] == 1
        assert status.get("failingReplicas", 0) == 0
        assert pool_condition(full, "sdk")["reason"] == "Filled"

        # Another client finds the session; it keeps its key when it is paused and gets a pod of its own.
        again = use_sdk(full, sdk, session, PAUSE_AND_RESUME)
        assert (again["url"], again["session_api_key"]) == (told["url"], told["session_api_key"])
        status = full.kubectl("get", "ohsb", name, "--output", "json")["status"]
        assert status["launch"] == "Resume"
        assert status["podName"] != warm["metadata"]["name"]
        assert status["keyID"] == sandbox["status"]["keyID"]
    finally:
        full.gateway.post("/stop", json={"runtime_id": full.gateway.get(f"/sessions/{session}").json()["runtime_id"]})


def test_clients_are_told_of_the_pools(pooled: Site, images: Images) -> None:
    answer = pooled.gateway.get("/api/warm-runtime-configs")
    assert answer.status_code == 200
    configs = {config["name"]: config for config in answer.json()["configs"]}
    assert set(configs) == {"sdk", "late", "broken"}
    assert configs["late"]["environment"] == POOLED
    assert (configs["sdk"]["image"], configs["sdk"]["command"]) == (images.agent_server, COMMAND)


def test_free_pods_are_isolated_as_sandboxes_are(full: Site) -> None:
    policies = full.kubectl("get", "networkpolicies", "--output", "json")["items"]
    of_sandboxes = [
        policy["spec"]["podSelector"]
        for policy in policies
        if any(rule["key"] == SANDBOX_LABEL for rule in policy["spec"]["podSelector"].get("matchExpressions", []))
    ]
    assert of_sandboxes
    [free] = await_free(full, "late")
    for selector in of_sandboxes:
        assert all(rule["operator"] == "Exists" for rule in selector["matchExpressions"])
        chosen = full.kubectl("get", "pods", "--selector", SANDBOX_LABEL, "--output", "json")["items"]
        assert free["metadata"]["name"] in {pod["metadata"]["name"] for pod in chosen}
    assert not free["spec"]["automountServiceAccountToken"]
    keys = {"OH_SESSION_API_KEYS_0", "OH_SECRET_KEY"}
    [container] = free["spec"]["containers"]
    assert not any("value" in entry for entry in container["env"] if entry["name"] in keys)


def test_another_environment_comes_late_and_again_after_a_crash(full: Site, images: Images) -> None:
    environment = {**POOLED, **SECRET, "GITHUB_TOKEN": "töken", "OH_BASH_EVENTS_DIR": "/workspace/events"}
    with Runtime(full, images.agent_server, command=COMMAND, working_dir=PROJECT, environment=environment) as late:
        late.await_ready()
        status = late.object()["status"]
        assert (status["launch"], status["pool"]) == ("Warm", "late")
        assert late.run("echo $POOLED $GITHUB_TOKEN; ls -d /workspace/events") == "yes töken\n/workspace/events\n"
        assert late.run(f"cd {PROJECT} && touch written && git init --quiet && git status --short") == "?? written\n"
        assert late.agent.get("/api/conversations/count").status_code == 200

        full.kubectl("exec", status["podName"], "--", "sh", "-c", KILL)
        eventually(lambda: late.object()["status"].get("restartCount", 0), lambda count: count == 1, READY_SECONDS)
        eventually(lambda: late.condition()["reason"], lambda reason: reason == "Ready", READY_SECONDS)
        assert late.run("echo $POOLED $GITHUB_TOKEN") == "yes töken\n"
        assert identity(late.look()) == late.identity
        assert late.object()["status"]["podUID"] == status["podUID"]


def test_what_cannot_come_late_starts_cold_and_says_why(full: Site, images: Images) -> None:
    environment = {**POOLED, **SECRET, "OH_PERSISTENCE_DIR": "/workspace/8123"}
    with Runtime(full, images.agent_server, command=COMMAND, working_dir=PROJECT, environment=environment) as cold:
        status = eventually(lambda: cold.object().get("status", {}), lambda status: "poolMiss" in status, READY_SECONDS)
        assert status["launch"] == "Cold"
        assert status["poolMiss"].startswith("EnvironmentDiffers")
        assert "OH_PERSISTENCE_DIR" in status["poolMiss"]
        assert "8123" not in status["poolMiss"]
    assert len(await_free(full, "late")) == 1


def test_idle_time_begins_at_the_claim(pooled: Site) -> None:
    pooled.kubectl("scale", "ohsp", "short", "--replicas=1")
    [free] = await_free(pooled, "short")
    time.sleep(IDLE_SECONDS + 2)
    body = {
        "apiVersion": "sandbox.openhands.dev/v1alpha1",
        "kind": "Sandbox",
        "metadata": {"name": "short"},
        "spec": {"image": free["spec"]["containers"][0]["image"], "className": "short", "service": "None"},
    }
    try:
        pooled.kubectl("create", "--filename", "-", body=body)
        began = time.monotonic()

        def reason() -> str:
            status = pooled.kubectl("get", "ohsb", "short", "--output", "json").get("status", {})
            return next((seen["reason"] for seen in status.get("conditions", []) if seen["type"] == "Ready"), "")

        eventually(reason, lambda seen: seen == "Ready")
        assert pooled.kubectl("get", "ohsb", "short", "--output", "json")["status"]["launch"] == "Warm"
        while time.monotonic() < began + IDLE_SECONDS - 5:
            assert reason() == "Ready"
            time.sleep(0.5)
        eventually(reason, lambda seen: seen == "Idle")
    finally:
        pooled.kubectl("delete", "ohsb", "short", "--ignore-not-found")
        pooled.kubectl("scale", "ohsp", "short", "--replicas=0")


def volume_claims(site: Site, selector: str) -> dict[str, str]:
    """Names of the PersistentVolumes of these claims, by the claim's name."""
    claims = site.kubectl("get", "pvc", "--selector", selector, "--output", "json")["items"]
    return {claim["metadata"]["name"]: claim["spec"].get("volumeName", "") for claim in claims}


def await_no_volume(site: Site, volumes: Collection[str]) -> None:
    """Return once these PersistentVolumes are gone."""

    def left() -> set[str]:
        found = site.kubectl("get", "pv", "--output", "json")["items"]
        return {item["metadata"]["name"] for item in found} & set(volumes)

    eventually(left, lambda found: not found)


def sandbox_status(site: Site, name: str, reason: str) -> dict[str, Any]:
    """The Sandbox's status, once its condition has this reason."""

    def is_so(status: dict[str, Any]) -> bool:
        return any(seen["type"] == "Ready" and seen["reason"] == reason for seen in status.get("conditions", []))

    return eventually(
        lambda: site.kubectl("get", "ohsb", name, "--output", "json").get("status", {}), is_so, READY_SECONDS
    )


def test_a_warm_volume_keeps_what_is_written(pooled: Site) -> None:
    of_pool = f"{POOL_LABEL}={LASTING}"
    pooled.kubectl("scale", "ohsp", LASTING, "--replicas=1")
    try:
        [free] = await_free(pooled, LASTING)
        name = free["metadata"]["name"]
        [volume] = volume_claims(pooled, of_pool).values()
        assert volume
        body = {
            "apiVersion": "sandbox.openhands.dev/v1alpha1",
            "kind": "Sandbox",
            "metadata": {"name": LASTING},
            "spec": {"image": free["spec"]["containers"][0]["image"], "className": LASTING, "service": "None"},
        }
        pooled.kubectl("create", "--filename", "-", body=body)
        status = sandbox_status(pooled, LASTING, "Ready")
        assert (status["launch"], status["podName"], status["volumeClaim"]) == ("Warm", name, name)
        assert volume_claims(pooled, f"{SANDBOX_LABEL}={LASTING}") == {name: volume}
        pooled.kubectl("exec", name, "--", "sh", "-c", "echo work > /workspace/file")

        pooled.kubectl("patch", "ohsb", LASTING, "--type=merge", '--patch={"spec": {"suspend": true}}')
        assert sandbox_status(pooled, LASTING, "Suspended")["workspaceKept"]
        pooled.kubectl("patch", "ohsb", LASTING, "--type=merge", '--patch={"spec": {"suspend": false}}')
        status = sandbox_status(pooled, LASTING, "Ready")
        assert (status["launch"], status["volumeClaim"]) == ("Resume", name)
        assert pooled.kubectl("exec", status["podName"], "--", "cat", "/workspace/file") == "work\n"
        assert volume_claims(pooled, f"{SANDBOX_LABEL}={LASTING}") == {name: volume}

        pooled.kubectl("delete", "ohsb", LASTING)
        await_no_volume(pooled, {volume})

        await_free(pooled, LASTING)
        unused = volume_claims(pooled, of_pool)
        assert len(unused) == 1
        pooled.kubectl("scale", "ohsp", LASTING, "--replicas=0")
        await_no_volume(pooled, unused.values())
        assert volume_claims(pooled, of_pool) == {}
    finally:
        pooled.kubectl("delete", "ohsb", LASTING, "--ignore-not-found")
        pooled.kubectl("scale", "ohsp", LASTING, "--replicas=0")


def test_a_pool_that_cannot_start_disturbs_nothing(full: Site) -> None:
    told = eventually(lambda: pool_condition(full, "broken"), lambda seen: seen["reason"] == "PodsFailing")
    assert told["status"] == "False"
    assert MISSING_IMAGE in told["message"] or "ImagePull" in told["message"]
    assert len(free_pods(full, "broken")) <= 2
    assert pool_condition(full, "sdk")["reason"] == "Filled"


@pytest.mark.parametrize("name", REASONS)
def test_a_pool_without_its_volumes_says_why_and_disturbs_nothing(full: Site, name: str) -> None:
    reason, words = REASONS[name]
    told = eventually(lambda: pool_condition(full, name), lambda seen: seen["reason"] == reason)
    assert words in told["message"]
    if name == FULL:
        assert pool(full, name)["status"]["readyReplicas"] == 1, "the one that has a volume"
    assert pool_condition(full, "sdk")["reason"] == "Filled"


def test_the_standby_takes_over_from_a_killed_leader(full: Site, images: Images) -> None:
    first = eventually(lambda: leader(full), bool)
    operators = full.kubectl("get", "pods", "--selector=app.kubernetes.io/component=operator", "--output", "json")[
        "items"
    ]
    assert len(operators) == 2
    kill_process(full, first)
    with Runtime(full, images.agent_server, command=COMMAND, working_dir="/") as runtime:
        runtime.await_ready()
        assert runtime.object()["status"]["launch"] == "Warm"
        assert runtime.run("echo well") == "well\n"
        assert eventually(lambda: leader(full), bool) != first
    full.kubectl("rollout", "status", f"deployment/{NAME}-operator", "--timeout=120s")
