"""Sandboxes by hand: `kubectl apply` of five lines, suspend and resume with a volume, delete."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
import yaml

from cluster.site import Site
from cluster.support import Kubectl, eventually
from demo.targets import Images
from local_cluster.paths import ROOT


def ready(kubectl: Kubectl, name: str) -> tuple[str, str]:
    """Status and reason of the condition `Ready`."""
    conditions = kubectl("get", "ohsb", name, "--output", "json").get("status", {}).get("conditions", [])
    return next(((c["status"], c["reason"]) for c in conditions if c["type"] == "Ready"), ("", ""))


def _running_seconds(kubectl: Kubectl) -> int:
    """What is recorded of the sandboxes that have no owner."""
    items = kubectl("get", "ohsu", "--output", "json")["items"]
    return sum(item["status"]["total"].get("runningSeconds", 0) for item in items if not item["spec"]["owner"])


def test_five_lines_make_a_sandbox(
    kubectl: Kubectl, site: Site, images: Images, belongings: Callable[[str], list[str]]
) -> None:
    sandbox = yaml.safe_load((ROOT / "examples" / "sandbox.yaml").read_text())
    sandbox["spec"]["image"] = images.agent_server
    name = sandbox["metadata"]["name"]
    kubectl("apply", "--filename", "-", body=sandbox)
    eventually(lambda: ready(kubectl, name), lambda seen: seen == ("True", "Ready"))
    [row] = kubectl("get", "ohsb", name, "--no-headers").splitlines()
    assert row.split()[:3] == [name, "True", "Ready"]

    status = kubectl("get", "ohsb", name, "--output", "json")["status"]
    pod = status["podName"]
    # The Service's name leads to the agent server, here asked from inside the sandbox's own pod.
    reached = kubectl("exec", pod, "--", "curl", "--silent", "--fail", f"http://{name}:60000/health")
    assert "ok" in reached.lower()
    # Who may read pods must not learn the keys.
    key = kubectl("exec", pod, "--", "sh", "-c", "cat /proc/1/environ | tr '\\0' '\\n'; env")
    [session_key] = {line.partition("=")[2] for line in key.splitlines() if line.startswith("OH_SESSION_API_KEYS_0=")}
    assert session_key
    assert session_key not in kubectl("get", "pods,ohsb,events", "--output", "yaml")

    # Its owner is nobody. The record may be five minutes old, the gateway's answer for its own owner is not.
    eventually(lambda: _running_seconds(kubectl), lambda seconds: seconds > 0)
    assert site.gateway.get("/usage").raise_for_status().json()["through"]

    _try_plugin(site, name, session_key)

    kubectl("delete", "ohsb", name)
    eventually(lambda: belongings(name), lambda left: left == [])


def _try_plugin(site: Site, name: str, session_key: str) -> None:
    """`kubectl ohsb` beside a ready sandbox: what needs its node."""
    environment = {**os.environ, **site.release.target.environment()}
    ohsb = [str(Path(sys.prefix, "bin", "kubectl-ohsb"))]
    there = ["--namespace", site.release.namespace, name]

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*ohsb, *arguments], env=environment, capture_output=True, text=True, timeout=120)

    log = run("logs", "--tail", "5", *there)
    assert (log.returncode, bool(log.stdout.strip()), session_key in log.stdout) == (0, True, False), log.stderr
    top = run("top", "--namespace", site.release.namespace)
    assert (top.returncode, "metrics-server" in top.stderr) == (1, True), "there is none in this cluster"

    command = [*ohsb, "open", "--show-key", *there]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as opened:
        assert opened.stdout
        try:
            url, header = opened.stdout.readline().strip(), opened.stdout.readline().strip()
            assert header == f"X-Session-API-Key: {session_key}"
            with httpx.Client(base_url=url, trust_env=False, timeout=60) as http:
                counted = "/api/conversations/count"
                assert http.get(counted).status_code == 401
                assert http.get(counted, headers={"X-Session-API-Key": session_key}).status_code == 200
        finally:
            opened.terminate()
        assert opened.wait(60) == 128 + signal.SIGTERM
    with pytest.raises(httpx.ConnectError):
        httpx.get(url, trust_env=False)


def test_suspend_keeps_the_volume(kubectl: Kubectl, images: Images, belongings: Callable[[str], list[str]]) -> None:
    name = "keeps-its-files"
    sandbox = {
        "apiVersion": "sandbox.openhands.dev/v1alpha1",
        "kind": "Sandbox",
        "metadata": {"name": name},
        "spec": {"image": images.agent_server, "className": "persistent"},
    }
    kubectl("apply", "--filename", "-", body=sandbox)
    eventually(lambda: ready(kubectl, name), lambda seen: seen == ("True", "Ready"))
    pod = kubectl("get", "ohsb", name, "--output", "json")["status"]["podName"]
    kubectl("exec", pod, "--", "sh", "-c", "echo kept > /workspace/note.txt")

    kubectl("patch", "ohsb", name, "--type", "merge", "--patch", '{"spec": {"suspend": true}}')
    eventually(lambda: ready(kubectl, name), lambda seen: seen == ("False", "Suspended"))
    assert not [item for item in belongings(name) if item.startswith("pod/")]

    # The local cluster's volumes cannot grow, and that is said.
    size = kubectl("get", "sandboxclass", "persistent", "--output", "json")["spec"]["workspace"]["size"]
    enlarge = '{"spec": {"workspace": {"size": "%s"}}}'
    kubectl("patch", "sandboxclass", "persistent", "--type", "merge", "--patch", enlarge % "100Gi")
    kubectl("patch", "ohsb", name, "--type", "merge", "--patch", '{"spec": {"suspend": false}}')
    eventually(lambda: ready(kubectl, name), lambda seen: seen == ("True", "Ready"))
    kubectl("patch", "sandboxclass", "persistent", "--type", "merge", "--patch", enlarge % size)
    events = kubectl("get", "events", "--field-selector", f"involvedObject.name={name}", "--output", "json")["items"]
    [kept] = [event["message"] for event in events if event["reason"] == "VolumeSizeKept"]
    assert "the class now asks for 100Gi" in kept
    status = kubectl("get", "ohsb", name, "--output", "json")["status"]
    assert status["launch"] == "Resume"
    assert kubectl("exec", status["podName"], "--", "cat", "/workspace/note.txt") == "kept\n"

    # A pod that somebody deletes is replaced, and its files are there again.
    kubectl("delete", "pod", status["podName"])
    eventually(lambda: ready(kubectl, name), lambda seen: seen == ("True", "Ready"))
    kubectl("delete", "ohsb", name)
    eventually(lambda: belongings(name), lambda left: left == [])
