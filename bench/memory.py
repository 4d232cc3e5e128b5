"""How much memory remains in use after sandboxes are gone: `python -m bench.memory --help`.

Starts a control plane with simulated nodes, and the real operator and gateway. One API key starts and stops sandboxes
of the maximum size. Others are meanwhile made and deleted as kubectl does, some at a time, since an owner may send
only 16 MiB a minute.
"""

import asyncio
import math
import os
import time
from collections import Counter
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import Annotated, Any

import aiohttp
import typer
import uvloop

from bench.crowd import side_by_side
from bench.plane import Plane, plane
from bench.processes import Measured
from bench.tables import Grid, fill
from control_plane.waiting import eventually
from local_cluster.paths import ROOT
from local_cluster.progress import Progress
from sandbox_common.kube import FAILURES, KubeObject
from sandbox_common.kube.resources import PODS, SANDBOXES
from sandbox_crds.models.sandbox import COMMAND_BYTES, ENV_CHARACTERS

NAME = "memory after deletes"
_MIB = 1024 * 1024
_SETTLE_SECONDS = 75.0
"""Longer than between two searches for garbage at rest."""
_ANNOTATION_BYTES = 250_000
_WARM = 16
"""Starts after which all of both programs has been used once."""
_LIVES = 0.5
"""Seconds that one made by kubectl lives: until the operator has made its pod."""
_PODS = 200
"""No more are begun while there are more: Kubernetes' garbage collector comes after."""
_GONE_SECONDS = 600.0
_NOTE_SECONDS = 300.0
_PAUSE_SECONDS = 1.0
_PASSING = {429, 503}
"""The owner has sent too much in this minute, or the API server is busy: `Retry-After` says for how long."""


def text(size: int) -> str:
    """Of so many characters that no two objects have in common."""
    return os.urandom((size + 1) // 2).hex()[:size]


def command(size: int, port: int) -> list[str]:
    """A command of that size for an agent server at this port."""
    head = ["/usr/local/bin/openhands-agent-server", "--port", str(port)]
    left = size - sum(map(len, head))
    return [*head, *(text(min(8192, left - done)) for done in range(0, left, 8192))]


def start_body(number: int, port: int, environment_bytes: int) -> dict[str, Any]:
    """A /start as large as it may be; its environment is as large as asked for."""
    values = [min(100_000, environment_bytes - done) for done in range(0, environment_bytes, 100_000)]
    return {
        "image": "registry.example/agent-server:1",
        "session_id": f"{number}-{text(1000)}",
        "command": command(COMMAND_BYTES, port),
        "environment": {f"A{index}": text(size) for index, size in enumerate(values)},
    }


def large_sandbox(number: int, port: int) -> KubeObject:
    """A Sandbox as large as the API server takes it."""
    quarter = ENV_CHARACTERS // 4
    return {
        "apiVersion": SANDBOXES.api_version,
        "kind": SANDBOXES.kind,
        "metadata": {"name": f"large-{number}", "annotations": {"text": text(_ANNOTATION_BYTES)}},
        "spec": {
            "image": "registry.example/agent-server:1",
            "command": command(2 * COMMAND_BYTES, port),
            "env": [{"name": f"A{index}", "value": text(quarter - 2)} for index in range(4)],
            "service": "None",
        },
    }


class Memory:
    """Measures one plane, and keeps the rows."""

    def __init__(self, here: Plane, processes: dict[str, Measured]) -> None:
        self._here = here
        self._processes = processes
        self._done: Counter[str] = Counter()
        self._ends_at = math.inf
        self._room = asyncio.Event()
        self._room.set()
        self.rows: list[list[str]] = []

    def note(self, when: str) -> None:
        """A row of what there is now, and of the most that was."""
        usages = [process.usage() for process in self._processes.values()]
        database = (self._here.control_plane.directory / "etcd" / "member" / "snap" / "db").stat().st_size / _MIB
        row = [when, *(f"{usage.rss:.0f} MiB (at most {usage.peak:.0f})" for usage in usages), f"{database:.0f} MiB"]
        self.rows.append(row)
        print(" | ".join(row), flush=True)

    @property
    def _so_far(self) -> str:
        return f"{self._done['key']:,} starts and stops by one key, {self._done['kubectl']:,} by kubectl"

    async def come_and_go(
        self, starts: int, environment_bytes: int, applied: int, at_once: int, seconds: float
    ) -> None:
        """Run both kinds side by side, and add a row every few minutes. Nothing begins after `seconds`."""
        self._ends_at = time.monotonic() + seconds
        self._done.clear()

        async def note() -> None:
            while True:
                await asyncio.sleep(_NOTE_SECONDS)
                self.note(self._so_far)

        async def count() -> None:
            while True:
                (self._room.set if await self._count_pods() <= _PODS else self._room.clear)()
                await asyncio.sleep(_PAUSE_SECONDS)

        beside = [asyncio.create_task(note()), asyncio.create_task(count())]
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.by_key(starts, environment_bytes))
                group.create_task(self.by_kubectl(applied, at_once))
        finally:
            for task in beside:
                task.cancel()
        self.note(f"just after {self._so_far}")

        async def gone() -> bool:
            return not await self._count_pods()

        await eventually(gone, timeout=_GONE_SECONDS)

    async def _count_pods(self) -> int:
        """As many as there are; more than may be while the API server does not say it."""
        try:
            page = await self._here.client.list(PODS, self._here.namespace, limit="1")
        except FAILURES:
            return _PODS + 1
        return len(page["items"]) + page["metadata"].get("remainingItemCount", 0)

    def _left(self, count: int) -> Iterator[int]:
        return takewhile(lambda _: time.monotonic() < self._ends_at, range(count))

    async def by_key(self, count: int, environment_bytes: int) -> None:
        """Start and stop so many."""
        url = f"http://127.0.0.1:{self._here.gateway_port}"
        async with aiohttp.ClientSession(url, trust_env=False, headers={"X-API-Key": self._here.api_key}) as http:

            async def one(number: int) -> None:
                await self._room.wait()
                body = start_body(number, self._here.agents.port, environment_bytes)
                while True:
                    async with http.post("/start", json=body) as response:
                        if response.status not in _PASSING:
                            response.raise_for_status()
                            runtime_id = (await response.json())["runtime_id"]
                            break
                    await asyncio.sleep(int(response.headers["Retry-After"]))
                while True:
                    async with http.post("/stop", json={"runtime_id": runtime_id}) as response:
                        if response.status not in _PASSING:
                            response.raise_for_status()
                            break
                    await asyncio.sleep(int(response.headers["Retry-After"]))
                self._done["key"] += 1

            await side_by_side(one, self._left(count))

    async def refused(self, count: int) -> None:
        """Bodies of 4 MiB that are too large by far; those of the first 16 MiB in a minute are read."""
        url = f"http://127.0.0.1:{self._here.gateway_port}/start"
        body = {"image": "i", "session_id": "s", "environment": {"A": text(4 * _MIB - 200)}}
        async with aiohttp.ClientSession(trust_env=False, headers={"X-API-Key": self._here.api_key}) as http:

            async def one(_: int) -> None:
                async with http.post(url, json=body) as response:
                    if response.status not in {422, 429}:
                        raise RuntimeError(f"answered {response.status}")

            await side_by_side(one, range(count), at_once=2)

    async def by_kubectl(self, count: int, at_once: int) -> None:
        """Make and delete so many."""
        client, namespace = self._here.client, self._here.namespace

        async def one(number: int) -> None:
            body = large_sandbox(number, self._here.agents.port)
            try:
                await client.create(SANDBOXES, namespace, body)
                await asyncio.sleep(_LIVES)
            finally:
                await client.delete(SANDBOXES, namespace, body["metadata"]["name"])

        async def until_done(number: int) -> None:
            await self._room.wait()
            while True:
                try:
                    await one(number)
                except FAILURES as error:
                    print(f"once more: {error!r}", flush=True)
                    await asyncio.sleep(_PAUSE_SECONDS)
                else:
                    self._done["kubectl"] += 1
                    return

        await side_by_side(until_done, self._left(count), at_once=at_once)


async def _measure(
    starts: int, environment_bytes: int, applied: int, at_once: int, refused: int, minutes: float
) -> list[list[str]]:
    progress = Progress()
    async with plane(progress) as here:
        operator, gateway = await here.operator(), await here.gateway()
        try:
            await asyncio.gather(operator.ready(), gateway.ready())
            await asyncio.sleep(_SETTLE_SECONDS)
            memory = Memory(here, {"operator": operator, "gateway": gateway})
            memory.note("at the start")
            await memory.by_key(_WARM, environment_bytes)
            await asyncio.sleep(_SETTLE_SECONDS)
            memory.note(f"{_SETTLE_SECONDS:.0f} s after the first {_WARM}")
            with progress.step(f"{starts} starts and stops by one key, {applied} by kubectl"):
                await memory.come_and_go(starts, environment_bytes, applied, at_once, minutes * 60)
            await asyncio.sleep(_SETTLE_SECONDS)
            memory.note(f"{_SETTLE_SECONDS:.0f} s later")
            with progress.step(f"{refused} refused bodies of 4 MiB"):
                await memory.refused(refused)
            memory.note(f"just after {refused} refused bodies of 4 MiB")
            await asyncio.sleep(_SETTLE_SECONDS)
            memory.note(f"{_SETTLE_SECONDS:.0f} s later")
        finally:
            await asyncio.gather(operator.stop(), gateway.stop())
    return memory.rows


def main(
    starts: Annotated[int, typer.Option(help="Sandboxes that one key starts and stops.")] = 10_000,
    environment_bytes: Annotated[int, typer.Option(help="Environment of each.")] = 16 * 1024,
    applied: Annotated[int, typer.Option(help="Sandboxes that are made and deleted as kubectl does.")] = 10_000,
    at_once: Annotated[int, typer.Option(help="So many of these at a time.")] = 4,
    refused: Annotated[int, typer.Option(help="Bodies of 4 MiB that are refused.")] = 12,
    minutes: Annotated[float, typer.Option(help="After so long no more are begun.")] = 60.0,
    page: Annotated[Path, typer.Option(help="The page whose table is renewed.")] = ROOT / "docs" / "measurements.md",
) -> None:
    """Memory of operator and gateway, and etcd's file, before and after many large sandboxes have come and gone."""
    rows = uvloop.run(_measure(starts, environment_bytes, applied, at_once, refused, minutes))
    table = Grid("Memory after deletes", ["", "operator", "gateway", "etcd's file"], rows)
    table.show()
    fill(page, NAME, table)


if __name__ == "__main__":
    typer.run(main)
