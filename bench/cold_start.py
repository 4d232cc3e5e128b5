"""Where the time of a start goes: `python -m bench.cold_start --help`.

Installs releases of its own on the local cluster and measures four ways to a usable sandbox: a cold start of the
default class, one of a class with a volume, the resume of a paused one, and the wake of an idle one by a request.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from bench.chart import chart
from bench.steps import STEPS, MissingTimeError, Times, medians, process_start, request_time, seconds, steps
from cluster.audit import Audit
from cluster.runtime import Runtime
from cluster.site import Site, installed
from demo.local_target import LocalTarget
from local_cluster.paths import ROOT
from local_cluster.progress import Progress

NAMESPACE = "bench"
COLD, VOLUME, RESUME, WAKE = "cold start", "cold start, volume", "resume, volume", "wake, volume"
TITLE = "Seconds from the call to a usable sandbox (medians)"

# Now, uptime, the server's start in clock ticks after boot, ticks a second.
READ_START = """
server=$(pgrep -o -f openhands-agent-server)
start=$(sed 's/.*) //' /proc/$server/stat | cut -d' ' -f20)
echo $(date +%s.%N) $(cut -d' ' -f1 /proc/uptime) $start $(getconf CLK_TCK)
"""
IMPORTED, SERVING = "Started server process", "Uvicorn running on"
"""What the agent server's log says then."""


def timed(runtime: Runtime, audit: Audit, called: float, answered: float, *, new_volume: bool) -> dict[str, float]:
    """The steps of a start that has just been answered. Raises MissingTimeError."""
    kubectl = runtime.site.release.kubectl
    pod = runtime.object()["status"]["podName"]  # the claim has this name, too
    lines = audit.requests(pod)
    log = kubectl("logs", "--timestamps", pod).splitlines()
    scheduler = "kube-scheduler"
    chosen = request_time(lines, {"patch", "update"}, "persistentvolumeclaims", scheduler) if new_volume else None
    times = Times(
        called=called,
        made=request_time(lines, {"create"}, "pods", "sandbox-operator"),
        claimed=chosen,
        bound=request_time(lines, {"create"}, "pods/binding", scheduler),
        running=process_start(kubectl("exec", pod, "--", "sh", "-c", READ_START)),
        imported=logged(log, IMPORTED),
        serving=logged(log, SERVING),
        # The kubelet writes a pod's status when it changes: the last change before the answer made it Ready.
        ready=request_time(lines, {"patch"}, "pods/status", "kubelet", until=answered),
        answered=answered,
    )
    return steps(times)


def logged(log: Sequence[str], words: str) -> float:
    """When the last line with these words was logged. Raises MissingTimeError."""
    found = [line for line in log if words in line]
    if not found:
        raise MissingTimeError(f"the pod's log does not say {words!r}")
    return seconds(found[-1].split()[0])


def measure(site: Site, image: str, pauses: list[float], *, volume: bool) -> dict[str, dict[str, float]]:
    """One sandbox's cold start and, with a volume, its resume and its wake; notes how long /pause took."""
    audit, called = Audit(), time.time()
    with Runtime(site, image) as runtime:
        runtime.await_ready()
        found = {VOLUME if volume else COLD: timed(runtime, audit, called, time.time(), new_volume=volume)}
        if volume:
            called = time.time()
            runtime.call("pause")
            pauses.append(round(time.time() - called, 3))
            found[RESUME] = again(runtime, runtime.pause, runtime.resume)
            found[WAKE] = again(runtime, runtime.make_idle, lambda: ask(runtime))
    return found


def again(runtime: Runtime, end: Callable[[], object], begin: Callable[[], object]) -> dict[str, float]:
    """The steps of a second start, which `begin` causes and awaits."""
    end()
    audit, called = Audit(), time.time()
    begin()
    return timed(runtime, audit, called, time.time(), new_volume=False)


def ask(runtime: Runtime) -> None:
    """A request as any client has it, to the agent server."""
    runtime.agent.get("/api/conversations/count").raise_for_status()


def main(
    runs: Annotated[int, typer.Option(min=1, help="of each kind, one after the other")] = 10,
    output: Annotated[Path, typer.Option("--json", help="where the numbers go")] = ROOT / "docs" / "cold-start.json",
    svg: Annotated[Path, typer.Option("--svg", help="where the chart goes")] = ROOT / "docs" / "cold-start.svg",
) -> None:
    """Measure starts on the local cluster step by step; write a table, the numbers and a chart."""
    target, progress = LocalTarget(egress=False), Progress()
    target.up(progress)
    images = target.build_images(progress)
    target.load_images(images)
    results: dict[str, list[dict[str, float]]] = {}
    pauses: list[float] = []
    for sandbox_class in ("default", "persistent"):
        namespace = f"{NAMESPACE}-{sandbox_class}"
        with installed(target, images, progress, namespace, sandboxClass=sandbox_class) as site:
            for run in range(runs):
                found = measure(site, images.agent_server, pauses, volume=sandbox_class == "persistent")
                for kind, seconds_of in found.items():
                    rounded = {step: round(value, 3) for step, value in seconds_of.items()}
                    results.setdefault(kind, []).append(rounded)
                totals = ", ".join(f"{kind} {sum(parts.values()):.1f} s" for kind, parts in found.items())
                print(f"run {run + 1} of {runs}: {totals}", file=sys.stderr)
    show(results, pauses)
    output.write_text(json.dumps({"starts": results, "pause": pauses}, indent=2) + "\n")
    svg.write_text(chart(TITLE, {kind: medians(runs_of) for kind, runs_of in results.items()}, STEPS))


def show(results: Mapping[str, Sequence[Mapping[str, float]]], pauses: Sequence[float]) -> None:
    """Print medians, and the range of the whole."""
    table = Table("", *STEPS, "whole: min", "median", "max", title="Seconds, medians of each step")
    for kind, runs in results.items():
        whole = spread([sum(run.values()) for run in runs])
        table.add_row(kind, *(f"{value:.2f}" for value in (*medians(runs).values(), *whole)))
    table.add_row("pause", *[""] * len(STEPS), *(f"{value:.2f}" for value in spread(pauses)))
    Console(width=140).print(table)


def spread(values: Sequence[float]) -> tuple[float, float, float]:
    """Minimum, median and maximum."""
    return min(values), statistics.median(values), max(values)


if __name__ == "__main__":
    typer.run(main)
