"""Sandboxes by hand: `kubectl apply` of five lines, suspend and resume with a volume, delete."""

from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml

from cluster.support import Kubectl, eventually
from demo.commands import ROOT
from demo.targets import Images

CLASS = "cluster-test-volume"


def ready(kubectl: Kubectl, name: str) -> tuple[str, str]:
    """Status and reason of the condition `Ready`."""
    conditions = kubectl("get", "ohsb", name, "--output", "json").get("status", {}).get("conditions", [])
    return next(((c["status"], c["reason"]) for c in conditions if c["type"] == "Ready"), ("", ""))


def test_five_lines_make_a_sandbox(kubectl: Kubectl, images: Images, belongings: Callable[[str], list[str]]) -> None:
    sandbox = yaml.safe_load((ROOT / "examples" / "sandbox.yaml").read_text())
    sandbox["spec"]["image"] = images.agent_server
    name = sandbox["metadata"]["name"]
    kubectl("apply", "--filename", "-", body=sandbox)
    eventually(lambda: ready(kubectl, name), lambda seen: seen == ("True", "Ready"), 120)
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

    kubectl("delete", "ohsb", name)
    eventually(lambda: belongings(name), lambda left: left == [], 60)


@pytest.fixture
def node_directory() -> Iterator[Path]:
    """A directory for a volume; the node shares the file system of this machine."""
    with TemporaryDirectory(dir="/var/tmp", ignore_cleanup_errors=True) as directory:
        yield Path(directory)


@pytest.fixture
def volume_class(kubectl: Kubectl, node_directory: Path) -> Iterator[str]:
    """A class with a volume, from one volume on the node that is bound when a pod wants it."""
    node = kubectl("get", "nodes", "--output", "json")["items"][0]["metadata"]["name"]
    items: list[dict[str, Any]] = [
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {"name": CLASS},
            "provisioner": "kubernetes.io/no-provisioner",
            "volumeBindingMode": "WaitForFirstConsumer",
        },
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": CLASS},
            "spec": {
                "storageClassName": CLASS,
                "capacity": {"storage": "1Gi"},
                "accessModes": ["ReadWriteOnce"],
                "persistentVolumeReclaimPolicy": "Retain",
                "local": {"path": str(node_directory)},
                "nodeAffinity": {
                    "required": {
                        "nodeSelectorTerms": [
                            {
                                "matchExpressions": [
                                    {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
                                ]
                            }
                        ]
                    }
                },
            },
        },
        {
            "apiVersion": "sandbox.openhands.dev/v1alpha1",
            "kind": "SandboxClass",
            "metadata": {"name": CLASS},
            "spec": {
                "workspace": {"persistent": True, "size": "1Gi", "storageClassName": CLASS},
                "resources": {"requests": {"cpu": "100m", "memory": "512Mi"}},
                "env": [{"name": "OH_ENABLE_VSCODE", "value": "0"}, {"name": "OH_PRELOAD_TOOLS", "value": "0"}],
            },
        },
    ]
    kubectl("apply", "--filename", "-", body={"apiVersion": "v1", "kind": "List", "items": items})
    yield CLASS
    kubectl("delete", "ohsc", CLASS)
    kubectl("delete", "persistentvolume", CLASS, "--wait=false")
    kubectl("delete", "storageclass", CLASS)


def test_suspend_keeps_the_volume(
    kubectl: Kubectl,
    images: Images,
    volume_class: str,
    belongings: Callable[[str], list[str]],
) -> None:
    name = "keeps-its-files"
    sandbox = {
        "apiVersion": "sandbox.openhands.dev/v1alpha1",
        "kind": "Sandbox",
        "metadata": {"name": name},
        "spec": {"image": images.agent_server, "className": volume_class},
    }
    kubectl("apply", "--filename", "-", body=sandbox)
    eventually(lambda: ready(kubectl, name), lambda seen: seen == ("True", "Ready"), 120)
    pod = kubectl("get", "ohsb", name, "--output", "json")["status"]["podName"]
    kubectl("exec", pod, "--", "sh", "-c", "echo kept > /workspace/note.txt")

    kubectl("patch", "ohsb", name, "--type", "merge", "--patch", '{"spec": {"suspend": true}}')
    eventually(lambda: ready(kubectl, name), lambda seen: seen == ("False", "Suspended"), 60)
    assert not [item for item in belongings(name) if item.startswith("pod/")]

    kubectl("patch", "ohsb", name, "--type", "merge", "--patch", '{"spec": {"suspend": false}}')
    eventually(lambda: ready(kubectl, name), lambda seen: seen == ("True", "Ready"), 120)
    status = kubectl("get", "ohsb", name, "--output", "json")["status"]
    assert status["launch"] == "Resume"
    assert kubectl("exec", status["podName"], "--", "cat", "/workspace/note.txt") == "kept\n"

    # A pod that somebody deletes is replaced, and its files are there again.
    kubectl("delete", "pod", status["podName"])
    eventually(lambda: ready(kubectl, name), lambda seen: seen == ("True", "Ready"), 120)
    kubectl("delete", "ohsb", name)
    eventually(lambda: belongings(name), lambda left: left == [], 60)
