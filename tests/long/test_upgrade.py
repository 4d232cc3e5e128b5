"""From the release before this version to this version by Helm, and back, under load: nobody notices."""

import asyncio
import statistics
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

import releases
from cluster.rolling import Clients, Seen
from cluster.runtime import Runtime, identity
from cluster.sdk_uses import COMMAND
from cluster.site import Site, installed
from cluster.support import NAMESPACE
from demo.local_target import LocalTarget
from demo.release import CHART, NAME
from demo.targets import Images
from demo.workloads import model_url
from images.build import build
from local_cluster.cluster import Cluster
from local_cluster.paths import ROOT, State
from local_cluster.progress import Progress
from long.lives import POOL, Lives, claiming
from sandbox_crds.api import SANDBOX_LABEL

RATE = 200
CONVERSATIONS = 12
SOCKETS_EACH = 42
"""The agent server takes 50 for a conversation."""
SECRETS = ("master-key", "naming-key", "api-key", "api-key-hash")
PROCESSES = "--selector=app.kubernetes.io/component in (operator, gateway)"
WAITING = ("--wait", "--timeout=15m")


@pytest.fixture(scope="module")
def former(images: Images, progress: Progress, tmp_path_factory: pytest.TempPathFactory) -> Images:
    """The images of the release. That of the agent server is this version's, since a sandbox names its own."""
    built = build(releases.unpack(tmp_path_factory.mktemp("release")), progress=progress)
    assert built.archive
    Cluster(State.from_environment()).load_image(built.archive)
    return Images(built.reference, images.agent_server)


@pytest.fixture
def released(target: LocalTarget, former: Images, progress: Progress) -> Iterator[Site]:
    """The release, with a pool and a class whose sandboxes are suspended for idleness."""
    pools = {POOL: {"image": former.agent_server, "command": COMMAND, "workingDir": "/", "replicas": 1}}
    namespace = f"{NAMESPACE}-upgrade"
    with installed(target, former, progress, namespace, pools=pools, discards=True, chart=releases.CHART) as site:
        yield site


def test_an_upgrade_and_a_rollback_under_load(released: Site, former: Images, images: Images) -> None:
    site, image = released, images.agent_server
    lives = Lives(site, image)
    with ExitStack() as stack:
        used = stack.enter_context(Runtime(site, image, environment={"USED": "yes"}))
        claimed = stack.enter_context(claiming(site, image))
        paused = stack.enter_context(Runtime(site, image, environment={"PAUSED": "yes"}))
        for runtime in (used, claimed, paused):
            runtime.await_ready()
        paused.pause()
        model = model_url(site.release.namespace)
        before = kept(site, used, claimed, paused)
        assert before[claimed.id]["launch"] == "Warm"

        for what, change, controller in (
            ("upgrade", lambda: upgrade(site, images), images.controller),
            ("rollback", lambda: roll_back(site), former.controller),
        ):
            done = lives.counts.copy()
            # The agent server may still count WebSockets of the earlier ones.
            conversations = [used.open_conversation(model) for _ in range(CONVERSATIONS)]
            seen = asyncio.run(meanwhile(site, used, conversations, lives, change))
            assert running_images(site) == {controller}
            print(
                f"{what}: {seen.answers.total()} requests in {seen.seconds:.0f} s, slowest {seen.slowest:.2f} s; "
                f"{seen.closed.total()} WebSockets closed, back after {statistics.median(seen.away):.3f} s (median), "
                f"{max(seen.away):.3f} s (longest); {lives.counts - done}"
            )
            assert set(seen.answers) == {"200"}
            assert set(seen.closed) == {1012}
            assert seen.closed.total() >= CONVERSATIONS * SOCKETS_EACH
            assert len(seen.away) == seen.closed.total()
            assert seen.refused == []
            assert min(lives.counts[kind] - done[kind] for kind in ("cold", "idle")) >= 1
            assert kept(site, used, claimed, paused) == before

        paused.resume()
        for runtime in (used, claimed, paused):
            assert runtime.run("echo well") == "well\n"


async def meanwhile(
    site: Site, runtime: Runtime, conversations: list[str], lives: Lives, change: Callable[[], None]
) -> Seen:
    """What clients of this sandbox meet with while something changes, and other sandboxes come and go."""
    clients = Clients(site.url, runtime.identity[2], rate=RATE, conversations=conversations, sockets_each=SOCKETS_EACH)
    running = asyncio.create_task(clients.run())
    await clients.until_open()
    await asyncio.to_thread(lives.go_on, change)
    clients.stop()
    return await running


def upgrade(site: Site, images: Images) -> None:
    """To the definitions, the chart and the image of this version, as docs/upgrade.md says.

    Helm has put the release's definitions into the cluster. Without this step, the new operator is not ready.
    """
    apply = ("apply", "--server-side", "--force-conflicts", "--field-manager=helm", "--filename")
    site.kubectl(*apply, str(ROOT / CHART / "crds"))
    repository, _, tag = images.controller.rpartition(":")
    values = ["--reset-then-reuse-values", "--set-string", f"image.repository={repository},image.tag={tag}"]
    replaced(site, "upgrade", NAME, str(ROOT / CHART), *values)


def roll_back(site: Site) -> None:
    """To what was installed first."""
    replaced(site, "rollback", NAME, "1")


def replaced(site: Site, *command: str) -> None:
    """Run Helm; return when the last pod of before is gone."""
    old = site.kubectl("get", "pods", PROCESSES, "--output=name").split()
    site.release.target.helm(*command, "--namespace", site.release.namespace, *WAITING)
    site.kubectl("wait", "--for=delete", "--timeout=180s", *old)


def running_images(site: Site) -> set[str]:
    """Those of operator and gateway."""
    pods = site.kubectl("get", "pods", PROCESSES, "--output", "json")["items"]
    return {container["image"] for pod in pods for container in pod["spec"]["containers"]}


def kept(site: Site, *runtimes: Runtime) -> dict[str, Any]:
    """What neither an upgrade nor a rollback changes: keys, and these sandboxes with their pods."""
    secrets = {name: site.kubectl("get", "secret", f"{NAME}-{name}", "--output", "json")["data"] for name in SECRETS}
    return secrets | {runtime.id: kept_of(site, runtime) for runtime in runtimes}


def kept_of(site: Site, runtime: Runtime) -> dict[str, Any]:
    """Of one sandbox: what its client has, the Sandbox, and the containers of its pod."""
    sandbox = runtime.object()
    pods = site.kubectl("get", "pods", f"--selector={SANDBOX_LABEL}={runtime.id}", "--output", "json")
    return {
        "identity": identity(runtime.look()),
        "uid": sandbox["metadata"]["uid"],
        "spec": sandbox["spec"],
        "reason": runtime.condition()["reason"],
        "launch": sandbox["status"]["launch"],
        "pods": {
            pod["metadata"]["uid"]: [(one["containerID"], one["restartCount"]) for one in containers]
            for pod in pods["items"]
            for containers in [pod["status"]["containerStatuses"]]
        },
    }
