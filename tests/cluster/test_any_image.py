"""Sandboxes of images that have no agent server, for the unmodified SDK: a SandboxClass brings it."""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cluster.other_images import OTHERS, OtherImage
from cluster.sdk_uses import COMMAND, key_body, used
from cluster.site import Site
from demo.targets import Images
from local_cluster.cluster import Cluster
from local_cluster.paths import State
from sandbox_crds.api import API_VERSION

CLASS, KEEPING, COPYING = "any-image", "keeping", "copying"
"""The chart's, one like it with a volume, and one for which the agent server is copied."""
POOLED = OTHERS[1]
KEPT, COPIED, ITSELF = "shell-less", "root", "agent-server"
CLASSES = {KEPT: KEEPING, COPIED: COPYING}
USUAL_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Of images that set none."""
OF_THE_AGENT_SERVER = ("LITELLM_", "LOG_JSON", "PYTHON", "LD_", "SSL_CERT_", "LC_", "LANG", "LOCPATH", "TERMINFO")
"""Beginnings of variables that no command gets unless the image sets them."""


@dataclass(frozen=True)
class Seen:
    """What the SDK saw of each image, by the image's name, and what Kubernetes had of the sandbox."""

    images: dict[str, dict[str, Any]]
    launches: dict[str, set[str]]


@pytest.fixture(scope="module")
def keys(site: Site, images: Images) -> Iterator[dict[str, str]]:
    """API keys by SandboxClass: which class a client gets follows from its key. All images are on the node."""
    cluster = Cluster(State.from_environment())
    for other in OTHERS:
        cluster.load_image(other.archive())
    keys = {name: secrets.token_urlsafe(32) for name in (CLASS, KEEPING, COPYING)}
    spec = site.kubectl("get", "sandboxclass", CLASS, "--output", "json")["spec"]
    others = {
        KEEPING: {**spec, "workspace": {"persistent": True, "size": "1Gi"}},
        COPYING: {**spec, "agentServer": {**spec["agentServer"], "delivery": "Copy"}},
    }
    pool = {"image": POOLED.reference, "command": COMMAND, "workingDir": "/", "className": CLASS, "deferredInit": True}
    items = [
        *(key_body(name, key) for name, key in keys.items()),
        *(
            {"apiVersion": API_VERSION, "kind": "SandboxClass", "metadata": {"name": name}, "spec": other}
            for name, other in others.items()
        ),
        {"apiVersion": API_VERSION, "kind": "SandboxPool", "metadata": {"name": CLASS}, "spec": pool},
    ]
    body = {"apiVersion": "v1", "kind": "List", "items": items}
    site.kubectl("apply", "--filename", "-", body=body)
    site.kubectl("wait", "--for=condition=Ready", f"ohsp/{CLASS}", "--timeout=180s")
    yield keys
    site.kubectl("delete", "--filename", "-", body=body)


@pytest.fixture(scope="module")
def seen(site: Site, images: Images, sdk: Path, keys: dict[str, str]) -> Seen:
    """All images at work, two at a time."""
    items = [{"name": each.name, "image": each.reference, "command": each.command} for each in OTHERS]
    items.append({"name": ITSELF, "image": images.agent_server, "command": "id -u"})
    for item in items:
        item["key"] = keys[CLASSES.get(item["name"], CLASS)]
    launches: dict[str, set[str]] = {}

    def look(sandbox: dict[str, Any]) -> None:
        launches.setdefault(sandbox["spec"]["image"], set()).add(sandbox.get("status", {}).get("launch", ""))

    return Seen(used(site, sdk, items, KEPT, look), launches)


@pytest.mark.parametrize("other", OTHERS, ids=lambda other: other.name)
def test_commands_have_what_the_image_has(other: OtherImage, seen: Seen) -> None:
    image = seen.images[other.name]
    assert image["own"].strip() == other.own, image
    [path] = [entry for entry in other.env if entry.startswith("PATH=")] or [USUAL_PATH]
    [found] = [entry for entry in image["variables"] if entry.startswith("PATH=")]
    assert found.startswith(f"{path}:/oh/any/path")
    strange = {entry for entry in image["variables"] if entry.startswith(OF_THE_AGENT_SERVER)} - {*other.env}
    assert strange == set()


@pytest.mark.parametrize("name", [*(other.name for other in OTHERS), ITSELF])
def test_an_agent_works_in_it(name: str, seen: Seen) -> None:
    counted = seen.images[name]["counted"]
    assert counted["events_over_websocket"] == counted["events"] > 0


def test_no_command_changes_the_agent_server(seen: Seen) -> None:
    # The one whose files belong to the sandbox's user is among them: the one that is copied.
    assert {name: image["changed"] for name, image in seen.images.items()} == dict.fromkeys(seen.images, False)


def test_files_are_kept_over_a_pause(seen: Seen) -> None:
    assert seen.images[KEPT]["kept"] == seen.images[KEPT]["own"]


def test_a_pool_of_such_an_image_serves_its_sandbox(seen: Seen) -> None:
    # Its pod waits for an environment, like that of any pool with deferredInit.
    assert seen.launches[POOLED.reference] - {""} == {"Warm"}
    assert seen.launches[OTHERS[0].reference] - {""} == {"Cold"}
