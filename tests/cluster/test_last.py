"""Looks back at all that the tier has done: which rights it took, and what it has left for others to read."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.recording import Record
from cluster.rights import compare, granted, requests
from cluster.site import Site
from cluster.support import NAMESPACES, eventually
from cluster.test_taken_names import restricted
from demo.local_target import LocalTarget
from demo.targets import Images
from local_cluster.paths import State
from local_cluster.progress import Progress

CANARY = "canary"
_CORE = re.compile(r"core(\.[0-9]+)?")
_ELF_CORE = (b"\x7fELF", 4)
"""Magic number and type (at offset 16) of a core dump."""


def test_no_right_is_missing_and_none_is_too_much(
    site: Site, record: Record, missing_evidence: str, progress: Progress
) -> None:
    bindings, roles = (
        site.kubectl("get", kind, "--selector=app.kubernetes.io/managed-by=Helm", "--output", "json")["items"]
        for kind in ("rolebindings,clusterrolebindings", "roles,clusterroles")
    )
    rights = granted(bindings, roles)
    accounts = {right.account for right in rights}
    assert len(accounts) == 2
    found = compare(rights, requests(record.audit(), accounts, NAMESPACES))
    assert (found.refused, found.not_granted) == ([], [])
    assert len(found.unused) < len(rights), "operator and gateway did nothing at all"
    unused = list(map(str, found.unused))
    if missing_evidence:
        progress.say(f"  not judged, since {missing_evidence}: rights that were not used ({', '.join(unused)})")
    else:
        assert unused == []


@pytest.fixture
def canary(site: Site, images: Images) -> Iterator[set[str]]:
    """A secret that leaks into an object and into the log of a pod that is gone; gives where it is to be found."""
    site.kubectl("create", "secret", "generic", CANARY, f"--from-literal=key={os.urandom(24).hex()}")
    site.kubectl("create", "configmap", CANARY, f"--from-literal=key={_value(site)}")
    spec = restricted(images.agent_server)
    variable = {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": CANARY, "key": "key"}}}
    spec["containers"][0] |= {"command": ["sh", "-c", "echo $KEY"], "env": [variable]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": CANARY}, "spec": {**spec, "restartPolicy": "Never"}}
    site.kubectl("apply", "--filename", "-", body=pod)
    seen = ("get", "pod", CANARY, "--output=jsonpath={.status.phase} {.metadata.uid}")
    _, uid = eventually(lambda: site.kubectl(*seen).split(), lambda words: words[0] == "Succeeded")
    site.kubectl("delete", "pod", CANARY)
    namespace = site.release.namespace
    label = f"{namespace}/{CANARY}:key"
    yield {f"{label} in configmaps", f"{label} in log pods/{namespace}_{CANARY}_{uid}/main/0.log"}
    site.kubectl("delete", "secret,configmap", CANARY)


def _value(site: Site) -> str:
    return site.kubectl("get", "secret", CANARY, "--output=jsonpath={.data.key}")


def processes(site: Site) -> list[dict[str, Any]]:
    """The pods of all releases' operators and gateways."""
    selector = "--selector=app.kubernetes.io/component in (operator, gateway)"
    pods: list[dict[str, Any]] = site.kubectl("get", "pods", "--all-namespaces", selector, "--output", "json")["items"]
    return [pod for pod in pods if pod["metadata"]["namespace"].startswith(NAMESPACES)]


def test_no_secret_can_be_read(site: Site, record: Record, canary: set[str], progress: Progress) -> None:
    for pod in processes(site):
        metadata = pod["metadata"]
        path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}:8081/proxy/metrics"
        record.add("metrics", site.kubectl("get", "--raw", path))
    looked_at, secrets = record.read(), record.secrets
    progress.say(f"  {len(secrets)} secrets looked for; words of objects, and numbers of logs: {json.dumps(looked_at)}")
    assert {
        "configmaps",
        "deployments",
        "events",
        "metrics",
        "pods",
        "logs of pods",
        "logs of audit",
    } <= looked_at.keys()
    assert [label for label in secrets if label.endswith(", internal token")]
    assert set(record.leaks()) == canary


def test_no_process_that_holds_keys_dumps_its_memory(site: Site) -> None:
    for pod in processes(site):
        metadata = pod["metadata"]
        where = ("exec", "--namespace", metadata["namespace"], metadata["name"])
        limits = site.kubectl(*where, "--", "cat", "/proc/1/limits")
        assert re.search(r"^Max core file size +0 +0 +bytes", limits, re.MULTILINE), metadata["name"]


def test_no_core_dump_is_on_the_node(target: LocalTarget) -> None:
    assert target.name == "local"
    assert [str(path) for path in core_dumps(State.from_environment().root)] == []


def core_dumps(root: Path) -> Iterator[Path]:
    """Files of that name and kind below; those of containers' own file systems, too."""
    for directory, _, names in os.walk(root):
        for path in (Path(directory, name) for name in names if _CORE.fullmatch(name)):
            if path.is_file():
                with path.open("rb") as file:
                    head = file.read(17)
                if (head[:4], head[-1]) == _ELF_CORE:
                    yield path
