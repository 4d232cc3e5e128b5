"""What gVisor costs beside runc: `python -m bench.runtimes --help`.

On the local cluster, sandboxes of two classes that differ in their runtime alone start in turn, alone on the node. In
each, one program measures what agents do. So the numbers of both are from one run.
"""

import json
import shlex
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from secrets import token_urlsafe
from typing import Annotated, Any

import typer

from bench.figures import median
from bench.tables import Grid, fill
from cluster.runtime import Runtime
from cluster.sdk_uses import key_body
from cluster.site import Site, client_of, installed
from cluster.support import eventually
from demo.local_target import LocalTarget
from demo.workloads import SDK_PYTHON
from local_cluster.node import GVISOR_CLASS
from local_cluster.paths import ROOT
from local_cluster.progress import Progress
from sandbox_crds.api import API_VERSION

NAMESPACE = "bench-runtimes"
PAGE = ROOT / "docs" / "gvisor.md"
RUNTIMES: Mapping[str, Mapping[str, str]] = {"runc": {}, "gVisor": {"": GVISOR_CLASS["metadata"]["name"]}}
"""`runtimeClasses` of the two classes."""
START, MEMORY, COMMAND, DOWNLOAD = (
    "start, until it is ready",
    "memory of an idle agent server",
    "command through the API",
    "download of 64 MiB",
)
PROGRAM = """
import json, os, pathlib, shutil, subprocess, time
def seconds(do, *arguments):
    began = time.perf_counter()
    do(*arguments)
    return time.perf_counter() - began
def spawn(*command):
    for _ in range(50):
        subprocess.run(command, check=True)
def compute():
    sum(i * i for i in range(3_000_000))
def files(directory):
    top = pathlib.Path(directory, "many")
    for d in range(40):
        (top / str(d)).mkdir(parents=True)
        for f in range(25):
            (top / str(d) / str(f)).write_bytes(b"x" * 2000)
    for path in top.rglob("*"):
        if path.is_file():
            path.read_bytes()
    shutil.rmtree(top)
def sequence(directory):
    path, block = pathlib.Path(directory, "large"), os.urandom(1 << 20)
    with path.open("wb") as file:
        for _ in range(128):
            file.write(block)
    with path.open("rb") as file:
        while file.read(1 << 20):
            pass
    path.unlink()
print(json.dumps({
    "50 processes": seconds(spawn, "/bin/true"),
    "50 starts of Python": seconds(spawn, "python3", "-c", ""),
    "computing": seconds(compute),
    "1,000 small files, on the volume": seconds(files, "/workspace"),
    "1,000 small files, in /tmp": seconds(files, "/tmp"),
    "128 MiB written and read, on the volume": seconds(sequence, "/workspace"),
}))
"""


@contextmanager
def classes(site: Site) -> Generator[Mapping[str, Site]]:
    """The release by the names of the runtimes, each for a client whose sandboxes have that one."""
    spec = site.kubectl("get", "sandboxclass", "persistent", "--output", "json")["spec"]
    keys = {name: token_urlsafe(32) for name in RUNTIMES}
    items: list[object] = []
    for name, mapped in RUNTIMES.items():
        own = {**spec, "runtimeClasses": mapped}
        items += [
            {"apiVersion": API_VERSION, "kind": "SandboxClass", "metadata": {"name": name.lower()}, "spec": own},
            key_body(name.lower(), keys[name]),
        ]
    site.kubectl("apply", "--filename", "-", body={"apiVersion": "v1", "kind": "List", "items": items})
    clients = {name: client_of(site.url, key) for name, key in keys.items()}
    for client in clients.values():
        eventually(lambda client=client: client.get("/list").status_code, lambda status: status == 200)
    yield {name: replace(site, gateway=client) for name, client in clients.items()}
    for client in clients.values():
        client.close()


def memory(runtime: Runtime) -> float:
    """MiB of the pod's working set, as the kubelet counts it."""
    name = runtime.object()["status"]["podName"]
    [node] = runtime.site.kubectl("get", "nodes", "--output", "json")["items"]
    path = f"/api/v1/nodes/{node['metadata']['name']}/proxy/stats/summary"
    found: dict[str, Any] = json.loads(runtime.site.kubectl("get", "--raw", path))
    [pod] = [pod for pod in found["pods"] if pod["podRef"]["name"] == name]
    return pod["memory"]["workingSetBytes"] / 2**20


def measured(site: Site, image: str) -> dict[str, float]:
    """One sandbox: seconds, and MiB of memory."""
    began = time.monotonic()
    with Runtime(site, image) as runtime:
        runtime.await_ready()
        found = {START: time.monotonic() - began}
        time.sleep(12)  # the kubelet's figures are up to 10 s old
        found[MEMORY] = memory(runtime)
        runs: list[float] = []
        for _ in range(20):
            began = time.monotonic()
            runtime.run("true")
            runs.append(time.monotonic() - began)
        found[COMMAND] = median(runs)
        found |= json.loads(runtime.run(f"{SDK_PYTHON} -c {shlex.quote(PROGRAM)}"))
        runtime.run("head -c 67108864 /dev/urandom > large")
        began = time.monotonic()
        got = runtime.agent.get("/api/file/download", params={"path": "/workspace/large"})
        assert len(got.content) == 67108864, got
        return found | {DOWNLOAD: time.monotonic() - began}


def table(found: Mapping[str, list[dict[str, float]]]) -> Grid:
    """Medians of both, and the ratio."""
    rows: list[list[str]] = []
    for name in found["runc"][0]:
        runc, gvisor = (median([one[name] for one in found[runtime]]) for runtime in RUNTIMES)
        shown = [f"{value:.0f} MiB" if name == MEMORY else f"{value:.3g} s" for value in (runc, gvisor)]
        rows.append([name, *shown, f"{gvisor / runc:.1f}"])
    return Grid("gVisor beside runc", ["", *RUNTIMES, "ratio"], rows)


def main(
    rounds: Annotated[int, typer.Option(min=1, help="Sandboxes of each runtime.")] = 3,
    page: Annotated[bool, typer.Option("--page", help="Write the table into docs/gvisor.md.")] = False,
) -> None:
    """Compare gVisor with runc."""
    target, progress = LocalTarget(egress=False), Progress()
    target.up(progress)
    images = target.build_images(progress)
    target.load_images(images)
    found: dict[str, list[dict[str, float]]] = {name: [] for name in RUNTIMES}
    with installed(target, images, progress, NAMESPACE) as site, classes(site) as sites:
        for number in range(rounds):
            for name, own in sites.items():
                with progress.step(f"round {number + 1}, {name}"):
                    found[name].append(measured(own, images.agent_server))
    grid = table(found)
    grid.show()
    if page:
        fill(PAGE, "runtimes", grid)


if __name__ == "__main__":
    typer.run(main)
