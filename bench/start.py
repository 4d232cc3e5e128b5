"""Cold starts as the SDK sees them: `python -m bench.start --help`.

Runs against the release that `make demo` left up. For each start: seconds from the pod's creation to Ready, from Ready
to the moment when the SDK's constructor has returned, and the agent server's CPU seconds and memory at that moment.
Ready is timed by the arrival of the watch event here, since Kubernetes' own time stamps have whole seconds only.
"""

import asyncio
import json
import os
import statistics
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from demo.local_target import LocalTarget
from demo.outside import sdk_python
from demo.release import Release
from demo.targets import NAMESPACE
from local_cluster.paths import State
from local_cluster.progress import Progress
from sandbox_common.kube import Informer, KubeClient, KubeObject
from sandbox_common.kube.resources import PODS
from sandbox_crds.api import SANDBOX_LABEL

_CLIENT = """
import json, sys, time
from openhands.workspace import APIRemoteWorkspace
url, key, image, starts = sys.argv[1:]
for _ in range(int(starts)):
    begun = time.time()
    with APIRemoteWorkspace(runtime_api_url=url, runtime_api_key=key, server_image=image) as workspace:
        print(json.dumps({"begun": begun, "returned": time.time(), "runtime": workspace._runtime_id}), flush=True)
        sys.stdin.readline()
"""


_READ_CGROUP = """
cd /sys/fs/cgroup
if [ -f cpu.stat ]; then
    awk '/^usage_usec/ {print $2 / 1e6}' cpu.stat; awk '/^anon / {print $2 / 2^20}' memory.stat
else
    awk '{print $1 / 1e9}' cpuacct/cpuacct.usage; awk '/^total_rss / {print $2 / 2^20}' memory/memory.stat
fi
"""


@dataclass(frozen=True)
class Start:
    """One cold start; all in seconds but `memory`, the container's anonymous memory in MiB."""

    constructor: float
    pod_to_ready: float
    ready_to_returned: float
    cpu: float
    memory: float


class PodClock:
    """When each sandbox's pod was first seen, and first seen Ready, by this machine's clock."""

    def __init__(self) -> None:
        self.made: dict[str, float] = {}
        self.ready: dict[str, float] = {}

    def look(self, pod: KubeObject) -> KubeObject:
        """Note the state in a pod's event."""
        sandbox = pod["metadata"]["labels"][SANDBOX_LABEL]
        self.made.setdefault(sandbox, time.time())
        conditions = pod.get("status", {}).get("conditions", [])
        if any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions):
            self.ready.setdefault(sandbox, time.time())
        return pod


async def measure(release: Release, url: str, python: Path, starts: int) -> list[Start]:
    """Start and stop `starts` sandboxes one after the other."""
    clock = PodClock()
    results: list[Start] = []
    client = await KubeClient.connect(str(State.from_environment().kubeconfig))
    informer = Informer(client, PODS, release.namespace, clock.look, label_selector=SANDBOX_LABEL)
    watching = asyncio.create_task(informer.run())
    await informer.wait_synced()
    arguments = [url, release.api_key(), release.images.agent_server, str(starts)]
    async with _process(str(python), "-c", _CLIENT, *arguments) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        while line := await process.stdout.readline():
            said = json.loads(line)
            runtime = said["runtime"]
            cpu, memory = _usage(release, runtime)
            results.append(
                Start(
                    constructor=said["returned"] - said["begun"],
                    pod_to_ready=clock.ready[runtime] - clock.made[runtime],
                    ready_to_returned=said["returned"] - clock.ready[runtime],
                    cpu=cpu,
                    memory=memory,
                )
            )
            print(f"start {len(results)} of {starts}: {results[-1].constructor:.1f} s", file=sys.stderr)
            process.stdin.write(b"\n")
            await process.stdin.drain()
    watching.cancel()
    await client.close()
    return results


@asynccontextmanager
async def _process(*command: str) -> AsyncGenerator[asyncio.subprocess.Process]:
    pipe, env = (
        asyncio.subprocess.PIPE,
        {**os.environ, "OPENHANDS_SUPPRESS_BANNER": "1", "LOG_LEVEL": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True"},
    )
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, env=env)
    yield process
    if await process.wait() != 0:
        raise SystemExit("the SDK's client failed; its error is above")


def _usage(release: Release, sandbox: str) -> tuple[float, float]:
    """CPU seconds so far and anonymous memory in MiB of a sandbox's container, from its cgroup (version 1 or 2)."""
    status = json.loads(release.kubectl("get", "ohsb", sandbox, "--output", "json"))["status"]
    cpu, memory = release.kubectl("exec", status["podName"], "--", "sh", "-c", _READ_CGROUP).split()
    return float(cpu), float(memory)


def main(
    starts: Annotated[int, typer.Option(min=1, help="how many, one after the other")] = 10,
    output: Annotated[Path | None, typer.Option("--json", help="also write the numbers to this file")] = None,
) -> None:
    """Measure cold starts through the SDK against the release of `make demo`."""
    target, progress = LocalTarget(egress=False), Progress()
    release = Release(target, NAMESPACE, target.build_images(progress))
    with target.gateway(NAMESPACE) as url:
        results = asyncio.run(measure(release, url, sdk_python(progress), starts))
    table = Table("", "minimum", "median", "maximum", title=f"{len(results)} cold starts through the SDK")
    for field, unit in (
        ("constructor", "s"),
        ("pod_to_ready", "s"),
        ("ready_to_returned", "s"),
        ("cpu", "s"),
        ("memory", "MiB"),
    ):
        values = [getattr(result, field) for result in results]
        shown = (f"{value:.2f} {unit}" for value in (min(values), statistics.median(values), max(values)))
        table.add_row(field.replace("_", " "), *shown)
    Console().print(table)
    if output:
        output.write_text(json.dumps([asdict(result) for result in results], indent=2))


if __name__ == "__main__":
    typer.run(main)
