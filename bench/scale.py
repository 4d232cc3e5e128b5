"""The cost of thousands of sandboxes for operator and gateway: `python -m bench.scale --help`.

Starts a control plane with simulated nodes, and the real operator and gateway. It creates the sandboxes through the API
server as the gateway does, and the operator makes them ready. One server answers in place of all agent servers.
"""

import asyncio
import json
import signal
import statistics
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import aiohttp
import typer
from rich.console import Console
from rich.table import Table

from bench.classes import DISCARDING
from bench.crowd import Crowd
from bench.plane import Plane, plane
from bench.processes import Measured, Usage
from local_cluster.audit_log import request_kind
from local_cluster.progress import Progress
from sandbox_common.kube import ApiError, KubeObject
from sandbox_common.kube.resources import PODS
from sandbox_crds.names import pod_name

_SETTLE_SECONDS = 10.0
"""After a start or a storm, until all that follows from it is over."""
_LISTS = 5
_TARGET_SIZE = 5000
"""Up to here the targets hold; above, twice as much."""


def _is_list(event: Mapping[str, Any]) -> bool:
    return event["verb"] == "list" and request_kind(event) in {"list sandboxes", "list pods"}


@dataclass(frozen=True)
class Figure:
    """One number. `target` is its maximum, if there is one."""

    what: str
    value: float
    unit: str
    target: float | None = None


class Scale:
    """Measures one plane step by step, and keeps the figures."""

    def __init__(self, plane: Plane, crowd: Crowd, size: int, rest_seconds: float, progress: Progress) -> None:
        self._plane = plane
        self._crowd = crowd
        self._size = size
        self._rest = rest_seconds
        self._progress = progress
        self._factor = 1 if size <= _TARGET_SIZE else 2
        self.figures: list[Figure] = []

    async def run(self, storm: int) -> None:
        """All of it: from nothing up to this size, at rest, started anew, and with this many pods lost at once."""
        operator, gateway = await self._plane.operator(), await self._plane.gateway()
        try:
            await self._empty(operator, gateway)
            await self._fill(operator, gateway)
            await self._resting("at rest", operator, gateway)
            await operator.stop()
            operator = await self._restart_operator()
            await gateway.stop()
            gateway = await self._restart_gateway()
            await self._listed()
            await self._resting("at rest after restart", operator, gateway)
            await self._storm(min(storm, self._size), operator, gateway)
        finally:
            await asyncio.gather(operator.stop(), gateway.stop())

    async def _empty(self, operator: Measured, gateway: Measured) -> None:
        await asyncio.gather(operator.ready(), gateway.ready())
        self._note("operator, empty: memory", operator.usage().rss, "MiB")
        self._note("gateway, empty: memory", gateway.usage().rss, "MiB")

    async def _fill(self, operator: Measured, gateway: Measured) -> None:
        before = operator.usage(), gateway.usage()
        began = time.monotonic()
        with self._progress.step(f"{self._size} sandboxes", lambda: f"{self._crowd.ready} are ready"):
            await self._crowd.grow(self._size)
        seconds = time.monotonic() - began
        self._note("filling: sandboxes ready per second", self._size / seconds, "/s")
        await asyncio.sleep(_SETTLE_SECONDS)
        for name, process, earlier in zip(("operator", "gateway"), (operator, gateway), before, strict=True):
            cpu = (process.usage().cpu - earlier.cpu) / self._size * 1000
            self._note(f"filling: CPU of the {name} for each", cpu, "ms")
        self._memory("filled", operator.usage(), gateway.usage())

    async def _resting(self, when: str, operator: Measured, gateway: Measured) -> None:
        audit, before = self._plane.audit(), (operator.usage(), gateway.usage())
        self._plane.agents.requests.clear()
        with self._progress.step(f"{self._rest:.0f} s {when}"):
            await asyncio.sleep(self._rest)
        for name, process, earlier in zip(("operator", "gateway"), (operator, gateway), before, strict=True):
            share = (process.usage().cpu - earlier.cpu) / self._rest * 100
            self._note(f"{when}: CPU of the {name}", share, "% of a core")
        self._note(f"{when}: requests to agent servers", sum(self._plane.agents.requests.values()), "")
        self._note(f"{when}: lists of Sandboxes and pods", sum(1 for _ in audit.requests("sandbox-", _is_list)), "")
        self._writes(when, audit.writes("sandbox-"))

    async def _restart_operator(self) -> Measured:
        """Start it anew; meanwhile somebody makes one more sandbox, and another one right afterwards."""
        while_down = await self._crowd.add()
        audit = self._plane.audit()
        self._plane.agents.requests.clear()
        with self._progress.step("restart of the operator"):
            operator = await self._plane.operator()
            self._note("operator's restart: until caches are filled", await operator.ready(), "s")
            await self._pod_of(while_down)
            self._note("operator's restart: until a waiting sandbox has its pod", operator.age, "s", 4 * self._factor)
            began = time.monotonic()
            await self._pod_of(await self._crowd.add())
            self._note("operator's restart: the next one, until it has its pod", time.monotonic() - began, "s")
            await asyncio.sleep(_SETTLE_SECONDS)
        usage = operator.usage()
        self._note("operator's restart: CPU", usage.cpu, "s")
        # Secret, pod and status of the two new ones.
        self._writes("operator's restart", audit.writes("sandbox-operator"), expected=2 * 3)
        self._note("operator's restart: requests to agent servers", sum(self._plane.agents.requests.values()), "")
        self._memory("restarted", usage)
        return operator

    async def _restart_gateway(self) -> Measured:
        with self._progress.step("restart of the gateway"):
            gateway = await self._plane.gateway()
            self._note("gateway's restart: until it serves", await gateway.ready(), "s", 4 * self._factor)
            await asyncio.sleep(_SETTLE_SECONDS)
        usage = gateway.usage()
        self._note("gateway's restart: CPU", usage.cpu, "s")
        self._memory("restarted", gateway=usage)
        return gateway

    async def _pod_of(self, sandbox: KubeObject) -> None:
        """Return once its pod is there."""
        name = pod_name(sandbox["metadata"]["name"], sandbox["metadata"]["uid"])
        async with asyncio.timeout(60):
            while True:
                try:
                    await self._plane.client.get(PODS, self._plane.namespace, name)
                    return
                except ApiError as error:
                    if error.code != 404:
                        raise
                await asyncio.sleep(0.02)

    async def _listed(self) -> None:
        url = f"http://127.0.0.1:{self._plane.gateway_port}/list"
        times: list[float] = []
        count = 0
        async with aiohttp.ClientSession(trust_env=False, headers={"X-API-Key": self._plane.api_key}) as session:
            for _ in range(1 + _LISTS):
                began = time.monotonic()
                async with session.get(url) as response:
                    response.raise_for_status()
                    count = len((await response.json())["runtimes"])
                times.append((time.monotonic() - began) * 1000)
        self._note(f"/list of {count}: the first, which probes each", times[0], "ms")
        self._note(f"/list of {count}: median of {_LISTS} more", statistics.median(times[1:]), "ms")

    async def _storm(self, count: int, operator: Measured, gateway: Measured) -> None:
        audit, before = self._plane.audit(), (operator.usage(), gateway.usage())
        with self._progress.step(f"{count} pods are deleted at once"):
            seconds = await self._crowd.replace_pods(count)
        self._note(f"{count} pods lost: until all are ready again", seconds, "s")
        await asyncio.sleep(_SETTLE_SECONDS)
        for name, process, earlier in zip(("operator", "gateway"), (operator, gateway), before, strict=True):
            self._note(
                f"{count} pods lost: CPU of the {name} for each",
                (process.usage().cpu - earlier.cpu) / count * 1000,
                "ms",
            )
        self._note(f"{count} pods lost: writes for each", len(audit.writes("sandbox-")) / count, "")
        self._memory("after the storm", operator.usage(), gateway.usage())

    def _memory(self, when: str, operator: Usage | None = None, gateway: Usage | None = None) -> None:
        for name, usage, target in (("operator", operator, 250), ("gateway", gateway, 200)):
            if usage:
                self._note(f"{name}, {when}: memory", usage.rss, "MiB", target * self._factor)
                self._note(f"{name}, {when}: memory at most", usage.peak, "MiB")

    def _writes(self, when: str, writes: Sequence[str], expected: int = 0) -> None:
        self._note(f"{when}: writes", len(writes) - expected, "", 0)
        if len(writes) > expected:
            self._progress.say(f"        {dict(Counter(writes))}")

    def _note(self, what: str, value: float, unit: str, target: float | None = None) -> None:
        self._progress.say(f"        {what}: {value:.4g} {unit}")
        self.figures.append(Figure(what, value, unit, target))


async def measure(size: int, rest_seconds: float, storm: int, progress: Progress) -> list[Figure]:
    """All figures at this size. SIGTERM cancels it, so that all processes end."""
    if this := asyncio.current_task():
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, this.cancel)
    # Clocks for idleness run, and nothing is due.
    requests = {"cpu": "100m", "memory": "256Mi"}
    async with (
        plane(progress, **DISCARDING, idleTimeoutSeconds=3600, resources={"requests": requests}) as made,
        Crowd.of(made) as crowd,
    ):
        scale = Scale(made, crowd, size, rest_seconds, progress)
        await scale.run(storm)
    return scale.figures


def main(
    size: Annotated[int, typer.Option(min=10, help="how many sandboxes")] = 1000,
    rest: Annotated[float, typer.Option(min=15, help="seconds at rest; idleness is looked at each 14 s")] = 30,
    storm: Annotated[int, typer.Option(min=1, help="how many pods are then lost at once")] = 1000,
    output: Annotated[Path | None, typer.Option("--json", help="also write the numbers to this file")] = None,
) -> None:
    """Memory, start-up time and CPU of operator and gateway with many sandboxes."""
    try:
        figures = asyncio.run(measure(size, rest, storm, Progress()))
    except asyncio.CancelledError:
        raise typer.Exit(128 + signal.SIGTERM) from None
    table = Table("", "", "", "target", title=f"{size} sandboxes")
    for figure in figures:
        target = "" if figure.target is None else f"≤ {figure.target:g}"
        met = figure.target is None or figure.value <= figure.target
        table.add_row(figure.what, f"{figure.value:.4g}", figure.unit, target if met else f"{target}  MISSED")
    Console().print(table)
    if output:
        output.write_text(json.dumps({"size": size, "figures": [asdict(figure) for figure in figures]}, indent=2))


if __name__ == "__main__":
    typer.run(main)
