"""From the SDK's constructor to the first command, with warm pods: `python -m bench.warm_round --help`.

A release of its own on the local cluster, the unmodified SDK, and the real agent server. Starts come on schedule. A
quota holds the refill off while they do: two cores cannot boot an agent server each second.
"""

import json
import statistics
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from bench.chart import chart
from bench.figures import spread
from bench.sdk_process import SdkProcess
from bench.tables import Grid, fill
from cluster.runtime import Runtime
from cluster.site import Site, installed
from cluster.support import eventually
from cluster.test_app import COMMAND, NEWER, newer_body
from cluster.test_pools import await_free
from demo.local_target import LocalTarget
from demo.outside import sdk_python
from demo.targets import Images
from demo.workloads import model_url
from local_cluster.paths import ROOT
from local_cluster.progress import Progress

NAMESPACE = "bench-warm-round"
SDK, APP = "sdk", "app"
"""Pools: each has what its client asks for."""
IDS = {"runAsUser": 4711, "runAsGroup": 4712, "fsGroup": 4713}
"""Of the app's pool."""
ORIGIN = "http://app.example"
"""The app's, which the agent server reads while it boots. Nothing is there."""
QUOTA = "no-refill"
PROGRAM = str(ROOT / "bench" / "warm_round_client.py")
FILL_SECONDS = 900
STEPS = {
    "find": "GET /sessions/ID: there is none yet",
    "start": "POST /start",
    "look": "GET /sessions/ID: the pod is ready",
    "health": "GET /health of the agent server",
    "command": "POST /api/bash/start_bash_command",
    "output": "GET /api/bash/bash_events/search until the command has ended; the SDK asks each 0.1 s",
}
TITLE = "Milliseconds from the SDK's constructor to its first command's answer, warm"


@dataclass
class Found:
    """Seconds of each step of each start, and from `send_message` to its event; starts and hits by pool."""

    starts: list[dict[str, float]] = field(default_factory=list[dict[str, float]])
    events: list[float] = field(default_factory=list[float])
    asked: dict[str, int] = field(default_factory=dict[str, int])
    warm: dict[str, int] = field(default_factory=dict[str, int])

    def count(self, site: Site, pool: str, names: Sequence[str]) -> None:
        """Count the hits of a pool among these Sandboxes, which must be there."""
        for name in names:
            status = site.kubectl("get", "ohsb", name, "--output", "json")["status"]
            self.asked[pool] = self.asked.get(pool, 0) + 1
            self.warm[pool] = self.warm.get(pool, 0) + ((status["launch"], status.get("pool")) == ("Warm", pool))


@contextmanager
def full(site: Site, pool: str, size: int) -> Generator[None]:
    """The pool has `size` ready pods and gets no others, while the context lasts. It is empty afterwards."""
    site.kubectl("scale", "ohsp", pool, f"--replicas={size}")
    await_free(site, pool, size, FILL_SECONDS)
    pods = site.kubectl("get", "pods", "--output", "json")["items"]
    kind = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": QUOTA}}
    site.kubectl("apply", "--filename", "-", body={**kind, "spec": {"hard": {"pods": str(len(pods))}}})
    eventually(lambda: site.kubectl("get", "quota", QUOTA, "--output", "json").get("status", {}).get("used"), bool)
    try:
        yield
    finally:
        site.kubectl("scale", "ohsp", pool, "--replicas=0")
        await_free(site, pool, 0)
        site.kubectl("delete", "quota", QUOTA)


def sdk_round(site: Site, client: SdkProcess, count: int, conversations: int, found: Found) -> None:
    """Starts by the SDK."""
    with full(site, SDK, count):
        answer = client.ask(f"{count} {conversations}")
        found.count(site, SDK, answer["runtimes"])
        client.ask()
    found.starts += answer["starts"]
    found.events += answer["events"]


def app_round(site: Site, count: int, found: Found) -> None:
    """Starts by the newer app, each with variables of its own and what the warm configuration says."""
    with full(site, APP, count), ExitStack() as stack:
        configs = site.gateway.get("/api/warm-runtime-configs").json()["configs"]
        [config] = [config for config in configs if config["name"] == APP]
        body = newer_body(ORIGIN, config)
        runtimes = [stack.enter_context(Runtime(site, config["image"], **body)) for _ in range(count)]
        for runtime in runtimes:
            runtime.await_ready()
        found.count(site, APP, [runtime.id for runtime in runtimes])


def pools(images: Images) -> dict[str, dict[str, Any]]:
    """Specs, by name."""
    same = {"image": images.agent_server, "command": COMMAND, "replicas": 0}
    environment = {**NEWER, "OH_ALLOW_CORS_ORIGINS_0": ORIGIN}
    app = {"workingDir": "/workspace/project", "environment": environment, "deferredInit": True, **IDS}
    return {SDK: {**same, "workingDir": "/"}, APP: {**same, **app}}


def grid(found: Found) -> Grid:
    """One row for each step, the whole, and a conversation's first event; in milliseconds."""
    columns = {step: [steps[step] for steps in found.starts] for step in STEPS}
    columns["whole"] = [sum(steps.values()) for steps in found.starts]
    columns["first event"] = found.events
    rows: list[list[str]] = []
    for name, values in columns.items():
        of = spread(values)
        rows.append([name, *(f"{1000 * value:.0f}" for value in (of.p50, of.p90, of.p99, of.most))])
    return Grid(TITLE, ["", "p50", "p90", "p99", "greatest"], rows)


def main(
    rounds: Annotated[int, typer.Option(min=1, help="How often.")] = 4,
    count: Annotated[int, typer.Option(min=1, help="Starts of a round; as many warm pods.")] = 25,
    conversations: Annotated[int, typer.Option(min=0, help="How many of these begin a conversation.")] = 10,
    rate: Annotated[float, typer.Option(min=0.1, help="Starts a second.")] = 1,
    directory: Annotated[Path, typer.Option(help="Where table, numbers and chart go.")] = ROOT / "docs",
) -> None:
    """Measure what a user of the SDK waits for with warm pods; write a table, the numbers and a chart."""
    target, progress, found = LocalTarget(egress=False), Progress(), Found()
    target.up(progress)
    images = target.build_images(progress)
    target.load_images(images)
    with (
        installed(target, images, progress, NAMESPACE, pools=pools(images)) as site,
        SdkProcess(site, sdk_python(progress), [PROGRAM], model_url(NAMESPACE), str(rate)) as client,
    ):
        with progress.step("warm up"):
            sdk_round(site, client, 1, 1, Found())
        for number in range(1, rounds + 1):
            with progress.step(f"round {number} of {rounds}"):
                sdk_round(site, client, count, conversations, found)
                app_round(site, count, found)
    table = grid(found)
    table.show()
    typer.echo(f"hits: {found.warm} of {found.asked}")
    fill(directory / "measurements.md", "warm round", table)
    (directory / "warm-round.json").write_text(json.dumps(asdict(found), indent=1) + "\n")
    median = {step: 1000 * statistics.median(steps[step] for steps in found.starts) for step in STEPS}
    (directory / "warm-round.svg").write_text(chart(TITLE, {"median": median}, STEPS, "ms"))


if __name__ == "__main__":
    typer.run(main)
