"""Many different images from a slow registry: `python -m bench.images --help`.

The local cluster's registry gives a fixed rate in all. Workers with the unmodified SDK each start a sandbox of an image
that the node does not have, run a command, and stop it; then the same with other images of which a SandboxImages keeps
a window. `light`: a program that only runs commands is in the images. `mounted`: the real agent server is mounted.
"""

import json
import math
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from bench.figures import percentile
from bench.image_sets import LIGHT_AGENT, ImageSet, bytes_per_second, push
from bench.lines import Panel, Series, figure
from bench.product import OURS
from bench.tables import Grid, fill
from cluster.injections import class_body
from cluster.site import Site, installed
from cluster.support import eventually
from demo.local_target import LocalTarget
from demo.outside import sdk_python
from local_cluster import build
from local_cluster.audit_log import BY_CLOCK, events
from local_cluster.cluster import Cluster
from local_cluster.paths import ROOT, State
from local_cluster.progress import Progress
from local_cluster.registry import Registry, Trouble
from sandbox_crds.api import API_VERSION, SANDBOX_LABEL

NAMESPACE = CLASS = "bench-images"
LIST = "tasks"
PROGRAM = Path(__file__).with_name("image_client.py")
RESOURCES = {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "2Gi"}}
SAMPLES = 5
"""Layers that are read to measure the network."""
PARALLELISM = 4
_EMPTY_SECONDS = 120
_LOOK_SECONDS = 1.0
_READS = frozenset({"get", "list", "watch"})


class Agent(StrEnum):
    """Where the agent server comes from."""

    LIGHT = "light"
    MOUNTED = "mounted"


@dataclass
class Phase:
    """One way through a set of images. Times are in seconds from its begin; bytes are those of the SandboxImages."""

    name: str
    workers: int
    images: int
    network_seconds: float
    bound: int = 0
    uses: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    kept: list[tuple[float, int]] = field(default_factory=list[tuple[float, int]])
    writes: float = 0.0
    """Of gateway and operator, for one start."""

    @property
    def wall(self) -> float:
        return max(use["ended"] for use in self.uses)

    @property
    def failed(self) -> list[str]:
        return [f"{use['image']}: {use['error']}" for use in self.uses if use["error"]]

    @property
    def starts(self) -> list[float]:
        """Seconds from the constructor's call to its return."""
        return [use["started"] - use["began"] for use in self.uses if "started" in use]


class Bench:
    """A release on a cluster whose registry is slow."""

    def __init__(self, site: Site, registry: Registry, python: Path, rate: int, progress: Progress) -> None:
        self._site = site
        self._registry = registry
        self._python = python
        self._rate = rate
        self._progress = progress
        self._log = State.from_environment().audit_log

    def bring_base(self, agent: Agent) -> None:
        """The node has the base from now on: what each image needs is its own layer."""
        images = self.images(1, 1, agent)
        self._registry.trouble({})
        self._run(Phase("base", 1, 1, 0), images, 1, "echo base")

    def images(self, count: int, size: int, agent: Agent) -> ImageSet:
        """New ones, while the registry is fast."""
        self._registry.trouble({})
        with self._progress.step(f"push {count} images"):
            found = push(self._registry, uuid.uuid4().hex[:8], count, size, with_agent=agent is Agent.LIGHT)
        self._registry.trouble({"": Trouble(bytes_per_second=self._rate)})
        return found

    def measure(self, name: str, images: ImageSet, workers: int, command: str, *, window: int = 0) -> Phase:
        """Use all of these images. `window`: how many of them a SandboxImages keeps, from the first start on."""
        network = images.to_read / bytes_per_second(self._registry, images.own[:SAMPLES])
        phase = Phase(name, workers, len(images.references), network)
        offset = self._log.stat().st_size
        with self._progress.step(f"{name}: {phase.images} images, the network alone needs {network:.0f} s"):
            if window:
                with self._kept(phase, images, window):
                    self._run(phase, images, workers, command)
            else:
                self._run(phase, images, workers, command)
        self._await_no_pods()
        phase.writes = self._writes(offset) / phase.images
        return phase

    def _run(self, phase: Phase, images: ImageSet, workers: int, command: str) -> None:
        arguments = [str(self._python), str(PROGRAM), self._site.url, str(workers), command]
        with tempfile.TemporaryFile("w+") as log:
            done = subprocess.run(
                arguments,
                input="\n".join(images.references),
                env=self._site.sdk_environment(),
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
            log.seek(0)
            if done.returncode:
                raise RuntimeError(f"the SDK's process failed:\n{log.read()[-4000:]}")
        uses: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
        first = min(use["began"] for use in uses)
        times = ("began", "started", "answered", "ended")
        phase.uses = [use | {name: round(use[name] - first, 3) for name in times if name in use} for use in uses]

    @contextmanager
    def _kept(self, phase: Phase, images: ImageSet, window: int) -> Generator[None]:
        # A node counts shared layers with each image.
        megabytes = window * math.ceil(images.largest / 1e6)
        phase.bound = megabytes * 10**6
        spec = {"images": [*images.references], "parallelism": PARALLELISM, "maxDisk": f"{megabytes}M"}
        body = {"apiVersion": API_VERSION, "kind": "SandboxImages", "metadata": {"name": LIST}, "spec": spec}
        self._site.kubectl("apply", "--server-side", "--filename", "-", body=body)
        ended = threading.Event()
        looking = threading.Thread(target=self._look, args=(phase, time.monotonic(), ended))
        looking.start()
        try:
            yield
        finally:
            ended.set()
            looking.join()
            self._site.kubectl("delete", "ohsi", LIST)

    def _look(self, phase: Phase, began: float, ended: threading.Event) -> None:
        while not ended.wait(_LOOK_SECONDS):
            found = self._site.kubectl("get", "ohsi", LIST, "--output", "json").get("status", {})
            phase.kept.append((round(time.monotonic() - began, 1), found.get("bytes", 0)))

    def _await_no_pods(self) -> None:
        def pods() -> str:
            return self._site.kubectl("get", "pods", f"--selector={SANDBOX_LABEL}", "--output", "name")

        eventually(pods, lambda found: not found, _EMPTY_SECONDS)

    def _writes(self, offset: int) -> int:
        """Of gateway and operator, except for those by the clock and for the SandboxImages and its pods."""
        number = 0
        for event in events(self._log, offset, NAMESPACE.encode()):
            target: Mapping[str, str] = event.get("objectRef") or {}
            if target.get("namespace") != NAMESPACE or event["stage"] != "ResponseComplete":
                continue
            is_write = event["verb"] not in _READS and target["resource"] not in BY_CLOCK
            is_of_list = target.get("name", "").startswith(LIST)
            number += is_write and not is_of_list and event.get("userAgent", "").partition("/")[0] in OURS
        return number


def grid(phases: Sequence[Phase]) -> Grid:
    """One row for each phase."""
    headings = ["", "images", "workers", "network alone, s", "wall, s", "ratio", "failed", "p50 s", "p99 s", "writes"]
    rows: list[list[str]] = []
    for phase in phases:
        starts = phase.starts
        rows.append(
            [
                phase.name,
                str(phase.images),
                str(phase.workers),
                f"{phase.network_seconds:.0f}",
                f"{phase.wall:.0f}",
                f"{phase.wall / phase.network_seconds:.2f}",
                str(len(phase.failed)),
                f"{statistics.median(starts):.1f}" if starts else "",
                f"{percentile(starts, 0.99):.1f}",
                f"{phase.writes:.2f}",
            ]
        )
    return Grid("Different images from a slow registry", headings, rows)


def plot(title: str, phases: Sequence[Phase]) -> str:
    """Answered commands over time of the phases with many workers, and what their SandboxImages kept."""
    answered = [
        Series(phase.name, [(at, number + 1) for number, at in enumerate(sorted(_answers(phase)))], "step")
        for phase in phases
    ]
    slowest = max(phases, key=lambda phase: phase.network_seconds)
    alone = Series("network alone", [(0, 0), (slowest.network_seconds, slowest.images)])
    panels = [Panel("Commands answered", "s", "", [*answered, alone])]
    for phase in phases:
        if phase.kept:
            kept = [(at, size / 1e6) for at, size in phase.kept]
            bound = Series("limit", [(0, phase.bound / 1e6), (kept[-1][0], phase.bound / 1e6)])
            panels.append(
                Panel(f"Kept by SandboxImages: {phase.name}", "s", "MB", [Series("kept", kept, "step"), bound])
            )
    return figure(title, panels)


def _answers(phase: Phase) -> list[float]:
    return [use["answered"] for use in phase.uses if "answered" in use]


def problems(phases: Sequence[Phase]) -> list[str]:
    """What must not be, in words."""
    found = [failure for phase in phases for failure in phase.failed]
    for phase in phases:
        most = max((size for _, size in phase.kept), default=0)
        if most > phase.bound:
            found.append(f"{phase.name}: {most} bytes were kept, more than {phase.bound}")
    return found


def main(
    agent: Annotated[Agent, typer.Argument(help="where the agent server comes from")],
    images: Annotated[int, typer.Option(min=SAMPLES, help="different images of each way")] = 500,
    workers: Annotated[int, typer.Option(min=1, help="how many sandboxes at a time")] = 32,
    megabytes: Annotated[float, typer.Option(min=0.1, help="of each image's own layer")] = 2,
    rate: Annotated[float, typer.Option(min=0.1, help="megabytes that the registry gives in a second")] = 2,
    window: Annotated[int, typer.Option(min=1, help="images that SandboxImages may keep")] = 64,
    alone: Annotated[int, typer.Option(min=0, help="images that one worker uses, one after the other")] = 10,
    alone_megabytes: Annotated[float, typer.Option(min=0.1, help="of the own layer of each of these")] = 20,
    directory: Annotated[Path, typer.Option(help="where tables, numbers and plot go")] = ROOT / "docs",
) -> None:
    """Start sandboxes of many different images from a slow registry; write a table, the numbers and a plot."""
    target, progress = LocalTarget(egress=False), Progress()
    target.up(progress)
    # One of a measurement that was stopped may still be going.
    target.kubectl("wait", "--for=delete", f"namespace/{NAMESPACE}", "--timeout=180s")
    build.ensure([LIGHT_AGENT], progress)
    built = target.build_images(progress)
    target.load_images(built)
    python, registry = sdk_python(progress), Cluster(State.from_environment()).registry
    registry.start(progress)
    size, command = int(megabytes * 1e6), "echo $((6 * 7))"
    try:
        with installed(target, built, progress, NAMESPACE, operator={"readNodes": True}, sandboxClass=CLASS) as site:
            # The SDK asks for this runtime class.
            spec: dict[str, Any] = {"resources": RESOURCES, "runtimeClasses": {"sysbox-runc": ""}}
            if agent is Agent.MOUNTED:
                spec["agentServer"] = {"image": built.agent_server}
            site.kubectl("apply", "--filename", "-", body=class_body(CLASS, spec))
            bench = Bench(site, registry, python, int(rate * 1e6), progress)
            bench.bring_base(agent)
            many = [bench.measure("cold", bench.images(images, size, agent), workers, command)]
            kept = bench.images(images, size, agent)
            many.append(bench.measure("with SandboxImages", kept, workers, command, window=window))
            # Work that takes as long as the pull of an image.
            works, large = f"sleep {alone_megabytes / rate:.1f}; {command}", int(alone_megabytes * 1e6)
            one: list[Phase] = []
            if alone:
                one.append(bench.measure("one worker, cold", bench.images(alone, large, agent), 1, works))
                kept = bench.images(alone, large, agent)
                one.append(bench.measure("one worker, with SandboxImages", kept, 1, works, window=window))
    finally:
        registry.stop()
    phases = [*many, *one]
    table = grid(phases)
    table.show()
    fill(directory / "measurements.md", f"images {agent}", table)
    (directory / f"images-{agent}.json").write_text(json.dumps([asdict(phase) for phase in phases], indent=1) + "\n")
    title = f"{images} images from a registry of {rate:g} MB/s, {workers} workers, {agent}"
    (directory / f"images-{agent}.svg").write_text(plot(title, many))
    if found := problems(phases):
        print("\n".join(found), file=sys.stderr)
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
