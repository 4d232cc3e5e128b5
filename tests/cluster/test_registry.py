"""Images of a real registry: private ones, and what goes wrong with a pull. All starts are made at once.

Sandboxes only sleep here and are never ready. The tests look at whether the node gets the image, and at the reasons.
"""

import json
import os
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from cluster.injections import OWNER, class_body, sandbox_body
from cluster.site import Site
from cluster.support import NAMESPACE, eventually
from images.build import build
from images.recipes import ImageName
from local_cluster.cluster import Cluster
from local_cluster.images import PAUSE
from local_cluster.paths import State
from local_cluster.progress import Progress
from local_cluster.registry import AUTHORITY, PUBLIC, Registry, Trouble
from local_cluster.registry_images import Blob, Image
from sandbox_common.reasons import MEANINGS, Reason
from sandbox_crds.api import PULL_SECRET_LABEL
from sandbox_crds.names import owner_label, unkeyed_runtime_id

RUN = uuid.uuid4().hex[:12]
"""Part of the names here: no node has an image of this run."""
PRIVATE = f"team-{RUN}/agent"
BUSY, SLOW, AWAY = (f"{PUBLIC}{what}-{RUN}" for what in ("busy", "slow", "away"))
BYTES_PER_SECOND = 150_000
RIGHT, WRONG = f"{NAMESPACE}-right", f"{NAMESPACE}-wrong"
TEAM, STRANGERS, MISTAKEN = f"team-{RUN}@example.com", "strangers", "mistaken"
"""Owners: with a pull Secret, with none, and with one that has a wrong password."""
PATIENCE = 90


@dataclass(frozen=True)
class Start:
    """A sandbox of this image, and the reason that the condition gets; None if the node gets the image."""

    image: str
    reason: Reason | None = None
    words: str = ""
    owner: str = STRANGERS
    class_: Mapping[str, Any] = field(default_factory=dict[str, Any])


def starts(digest: str) -> dict[str, Start]:
    private = f"{AUTHORITY}/{PRIVATE}:1"
    return {
        "class-secret": Start(private, class_={"pod": {"imagePullSecrets": [RIGHT]}}),
        "owner-secret": Start(private, owner=TEAM),
        "by-digest": Start(digest, owner=TEAM),
        "no-secret": Start(private, Reason.IMAGE_PULL_DENIED, "no basic auth credentials"),
        "wrong-password": Start(private, Reason.PULL_CREDENTIALS_REFUSED, "401 Unauthorized", owner=MISTAKEN),
        "missing": Start(f"{AUTHORITY}/{PUBLIC}none:1", Reason.IMAGE_NOT_FOUND, "not found"),
        "busy": Start(f"{AUTHORITY}/{BUSY}:1", Reason.REGISTRY_RATE_LIMITED, "429 Too Many Requests", owner=OWNER),
        "away": Start(f"{AUTHORITY}/{AWAY}:1", Reason.REGISTRY_UNAVAILABLE, "503 Service Unavailable"),
        "slow": Start(f"{AUTHORITY}/{SLOW}:1", Reason.STARTING, f"pulling image {AUTHORITY}/{SLOW}:1"),
    }


def session_of(case: str) -> str:
    return f"pulls-{case}"


def name_of(case: str) -> str:
    return unkeyed_runtime_id(OWNER, session_of(case))


def secret(name: str, owner: str, config: str) -> dict[str, Any]:
    labels = {PULL_SECRET_LABEL: owner_label(owner)} if owner else {}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "labels": labels},
        "type": "kubernetes.io/dockerconfigjson",
        "stringData": {".dockerconfigjson": config},
    }


@pytest.fixture(scope="module")
def registry(site: Site, progress: Progress) -> Iterator[Registry]:
    registry = Cluster(State.from_environment()).registry
    registry.start(progress)
    yield registry
    registry.stop()


def light(size: int = 0) -> Image:
    """An image without a shell, which no sandbox can run, with so many bytes that the node must read."""
    return Image.of_archive(PAUSE.archive(), label=uuid.uuid4().hex, more=[Blob.layer({"random": os.urandom(size)})])


@pytest.fixture(scope="module")
def started(site: Site, registry: Registry, progress: Progress) -> Iterator[Mapping[str, Start]]:
    """All sandboxes, made at once, and the Secrets before."""
    archive = build(ImageName.AGENT_SERVER, progress=progress).archive
    assert archive
    digest = registry.push(Image.of_archive(archive, label=RUN), PRIVATE, "1")
    for repository in (BUSY, SLOW):
        registry.push(light(10 * BYTES_PER_SECOND), repository, "1")
    troubles = {BUSY: Trouble(status=429), AWAY: Trouble(status=503), SLOW: Trouble(bytes_per_second=BYTES_PER_SECOND)}
    registry.trouble(troubles)
    cases = starts(digest)
    items = [
        secret(RIGHT, "", registry.docker_config()),
        secret(f"{RIGHT}-of-team", TEAM, registry.docker_config()),
        secret(WRONG, MISTAKEN, registry.docker_config(password=uuid.uuid4().hex)),
        *(class_body(session_of(case), {"pendingTimeoutSeconds": 5, **one.class_}) for case, one in cases.items()),
    ]
    site.kubectl("apply", "--filename", "-", body=_list(items))
    sandboxes = [
        sandbox_body(session_of(case), {"image": one.image, "className": session_of(case), "owner": one.owner})
        for case, one in cases.items()
    ]
    site.kubectl("apply", "--filename", "-", body=_list(sandboxes))
    yield cases
    site.kubectl("delete", "--wait=false", "--filename", "-", body=_list([*sandboxes, *items]))


def _list(items: list[dict[str, Any]]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "List", "items": items}


def told(site: Site, name: str) -> tuple[str, str]:
    """Reason and message of the condition."""
    conditions = site.kubectl("get", "ohsb", name, "--output", "json").get("status", {}).get("conditions", [])
    return next(((one["reason"], one["message"]) for one in conditions if one["type"] == "Ready"), ("", ""))


def has_image(site: Site, name: str) -> bool:
    """Whether the pod's container was made."""
    pods = site.kubectl("get", "pods", f"--selector=sandbox.openhands.dev/sandbox={name}", "--output", "json")["items"]
    return any(one.get("containerID") for pod in pods for one in pod["status"].get("containerStatuses", []))


@pytest.mark.parametrize("case", ["slow", "class-secret", "owner-secret", "by-digest"])
def test_the_node_gets_the_image(site: Site, started: Mapping[str, Start], case: str) -> None:
    one = started[case]
    name = name_of(case)
    if one.reason:
        eventually(lambda: told(site, name), lambda seen: seen[0] == one.reason and one.words in seen[1], PATIENCE)
    eventually(lambda: has_image(site, name), bool, PATIENCE)


@pytest.mark.parametrize("case", ["no-secret", "wrong-password", "missing", "away"])
def test_a_pull_that_fails_has_its_reason_and_remedy(site: Site, started: Mapping[str, Start], case: str) -> None:
    one = started[case]
    assert one.reason
    reason, message = eventually(lambda: told(site, name_of(case)), lambda seen: seen[0] == one.reason, PATIENCE)
    assert reason == one.reason
    assert one.words in message
    assert message.endswith(f"Remedy: {MEANINGS[one.reason].remedy}")


def test_a_pull_that_goes_on_after_failures_fails_no_start(
    site: Site, registry: Registry, started: Mapping[str, Start]
) -> None:
    """Longer than pendingTimeoutSeconds of its class."""
    one = started["busy"]
    name = name_of("busy")
    eventually(lambda: told(site, name), lambda seen: seen[0] == one.reason, PATIENCE)
    registry.trouble({BUSY: Trouble(bytes_per_second=BYTES_PER_SECOND // 4)})  # 40 s, to be seen on a busy machine
    eventually(
        lambda: told(site, name), lambda seen: seen[0] == Reason.STARTING and "pulling image" in seen[1], PATIENCE
    )
    said = eventually(
        lambda: site.gateway.get(f"/sessions/{session_of('busy')}").json(),
        lambda said: said["pod_status"] == "pending",
    )
    assert said["status"] == "starting"
    eventually(lambda: has_image(site, name), bool, PATIENCE)


def test_image_exists_asks_with_the_pull_secrets_of_the_owner(site: Site, started: Mapping[str, Start]) -> None:
    def answer(image: str) -> tuple[bool, bool]:
        found = site.gateway.get("/image_exists", params={"image": image}).json()
        return found["exists"], found["known"]

    private = started["owner-secret"].image
    assert answer(started["slow"].image) == (True, True)
    assert answer(started["missing"].image) == (False, True)
    assert answer(private) == (True, False)
    mine = secret(f"{RIGHT}-of-client", OWNER, json.dumps({"auths": {}}))
    right = site.kubectl("get", "secret", RIGHT, "--output", "json")["data"]
    site.kubectl("apply", "--filename", "-", body={**mine, "data": right, "stringData": {}})
    assert answer(private) == (True, True)
    assert answer(private.replace(":1", ":2")) == (False, True)
    site.kubectl("delete", "secret", f"{RIGHT}-of-client")
