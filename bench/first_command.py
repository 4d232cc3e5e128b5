"""How long until the first command has been answered: `python -m bench.first_command --help`.

Two releases side by side on the local cluster, that of this checkout and that of another commit, each with its own
images and chart. The unmodified SDK starts sandboxes on both in turn, so that both meet the same machine.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated

import typer

from bench.figures import median, ratios
from bench.sdk_process import SdkProcess
from bench.tables import Grid, fill
from cluster.sdk_uses import COMMAND
from cluster.site import Site, installed
from cluster.test_pools import await_free, sandbox_pool
from demo.local_target import LocalTarget
from demo.outside import sdk_python
from demo.targets import Images
from images.recipes import ImageName
from local_cluster.cluster import Cluster
from local_cluster.paths import ROOT, State
from local_cluster.progress import Progress

NAMESPACE = "bench-first-command"
POOL = "sdk"
COLD, WARM = "cold", "warm"
PROGRAM = """
import json, os, sys, time
from openhands.workspace import APIRemoteWorkspace

url, image = sys.argv[1:]
key = os.environ["RUNTIME_API_KEY"]
for _ in sys.stdin:
    began = time.monotonic()
    with APIRemoteWorkspace(runtime_api_url=url, runtime_api_key=key, server_image=image) as workspace:
        assert workspace.execute_command("echo $((6 * 7))").stdout.strip() == "42"
        seconds = time.monotonic() - began
    print(json.dumps(seconds), file=sys.__stdout__, flush=True)
"""
"""A line on standard input is a start; its seconds are a line on standard output."""


@contextmanager
def checked_out(commit: str) -> Generator[Path]:
    """A worktree of a commit, while the context lasts."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "checkout")
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", str(path), commit], check=True)
        try:
            yield path
        finally:
            subprocess.run([*git, "remove", "--force", str(path)], check=True)


def built(checkout: Path) -> Images:
    """Its images, by its own recipes, on the node."""
    cluster = Cluster(State.from_environment())
    references: dict[str, str] = {}
    for name in (ImageName.CONTROLLER, ImageName.AGENT_SERVER):
        command = [sys.executable, "-m", "images", "build", name, "--json"]
        environment = os.environ | {"PYTHONPATH": f"{checkout / 'tools'}:{checkout / 'tests'}"}
        done = subprocess.run(command, cwd=checkout, env=environment, stdout=subprocess.PIPE, text=True, check=True)
        image = json.loads(done.stdout)[name]
        cluster.load_image(Path(image["archive"]))
        references[name] = image["reference"]
    return Images(references[ImageName.CONTROLLER], references[ImageName.AGENT_SERVER])


def measure(
    clients: Mapping[str, SdkProcess], sites: Mapping[str, Site], rounds: int, *, warm: bool
) -> dict[str, list[float]]:
    """Seconds by release, one start of each in each round."""
    found: dict[str, list[float]] = {name: [] for name in clients}
    for number in range(rounds):
        # Whoever begins meets a machine that is still stopping the one before.
        for name in sorted(clients, reverse=bool(number % 2)):
            if warm:
                await_free(sites[name], POOL)
            found[name].append(clients[name].ask())
        print({name: f"{seconds[-1]:.2f} s" for name, seconds in found.items()}, file=sys.stderr)
    return found


def grid(results: Mapping[str, Mapping[str, Sequence[float]]], before: str, after: str) -> Grid:
    """One row for each kind of start."""
    rows: list[list[str]] = []
    for kind, seconds in results.items():
        of = ratios(seconds[after], seconds[before])
        medians = (f"{median(seconds[name]):.2f}" for name in (before, after))
        rows.append([kind, *medians, f"{median(of):.2f} ({min(of):.2f}-{max(of):.2f})"])
    return Grid("Seconds to the first command", ["", f"{before}, s", "now, s", "ratio"], rows)


def main(
    against: Annotated[str, typer.Argument(help="The commit to compare with.")],
    rounds: Annotated[int, typer.Option(min=1, help="Starts of each kind on each release.")] = 10,
) -> None:
    """Compare cold and warm starts of this checkout with those of another commit; write the table into the docs."""
    target, progress = LocalTarget(egress=False), Progress()
    target.up(progress)
    python = sdk_python(progress)
    results: dict[str, dict[str, list[float]]] = {}
    with checked_out(against) as checkout, ExitStack() as stack:
        sources = {against: checkout, "now": ROOT}
        sites: dict[str, Site] = {}
        for name, source in sources.items():
            site = installed(target, built(source), progress, f"{NAMESPACE}-{name}", source=source)
            sites[name] = stack.enter_context(site)
        clients = {name: stack.enter_context(SdkProcess(site, python, ["-c", PROGRAM])) for name, site in sites.items()}
        measure(clients, sites, 1, warm=False)
        results[COLD] = measure(clients, sites, rounds, warm=False)
        for site in sites.values():
            pool = sandbox_pool(POOL, image=site.release.images.agent_server, command=COMMAND, workingDir="/")
            site.kubectl("apply", "--filename", "-", body=pool)
        results[WARM] = measure(clients, sites, rounds, warm=True)
    table = grid(results, against, "now")
    table.show()
    fill(ROOT / "docs" / "measurements.md", "first command", table)


if __name__ == "__main__":
    typer.run(main)
