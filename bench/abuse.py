"""The effect of requests with bad API keys on good ones: `python -m bench.abuse --help`."""

import asyncio
import json
import os
import secrets
import sys
import tempfile
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import aiohttp
import typer
import uvloop

from bench.cpu import Cpu
from bench.figures import median
from bench.processes import Measured
from bench.tables import Grid, fill
from control_plane.cluster_scope import connected, fresh_namespace, install_custom_resources
from control_plane.gateway.support import Operator, add_api_key, running_agent
from local_cluster.control_plane import ControlPlane
from local_cluster.paths import ROOT
from local_cluster.ports import free_port
from local_cluster.progress import Progress
from sandbox_common.keys import MasterKeys
from sandbox_common.reasons import Reason

GOOD_RATES = {"sandbox": 100, "runtime API": 20}
"""Requests a second: /health of a sandbox, and GET /list."""
NAME = "bad keys"

type Phase = dict[str, dict[str, Any]]
"""The output of each client."""


@dataclass(frozen=True)
class Scene:
    """A gateway that serves one sandbox, and the requests to it."""

    gateway: Measured
    port: int
    good: Mapping[str, bytes]
    bad: bytes


@asynccontextmanager
async def scene(progress: Progress) -> AsyncGenerator[Scene]:
    """All of it is gone afterwards."""
    master, api_key, port = secrets.token_hex(32), secrets.token_hex(16), free_port()
    keys = MasterKeys.of({1: master.encode()})
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as directory,
        ControlPlane(controller_manager=True, progress=progress) as control_plane,
    ):
        Path(directory, "v1").write_text(master)  # noqa: ASYNC240 - nothing is measured yet
        async with (
            connected(control_plane) as client,
            _installed(client) as namespace,
            running_agent() as agent,
            aiohttp.ClientSession(f"http://127.0.0.1:{port}", trust_env=False) as http,
        ):
            await add_api_key(client, namespace, api_key, "owner")
            gateway = await Measured.start(
                "sandbox-gateway",
                free_port(),
                Path(directory, "gateway.log"),
                f"--namespace={namespace}",
                f"--master-key-dir={directory}",
                f"--kubeconfig={control_plane.kubeconfig}",
                f"--listen-port={port}",
                "--listen-host=127.0.0.1",
            )
            try:
                await gateway.ready()
                body = {"image": "i", "session_id": "s", "command": agent.command}
                starting = asyncio.create_task(_start(http, body, api_key))
                operator = Operator(client, namespace, keys)
                await operator.report(Reason.READY)
                session_key = await starting
                good = {
                    "sandbox": _get("/health", "X-Session-API-Key", session_key),
                    "runtime API": _get("/list", "X-API-Key", api_key),
                }
                yield Scene(gateway, port, good, _get("/sessions/s", "X-API-Key", secrets.token_hex(16)))
            finally:
                await gateway.stop()


@asynccontextmanager
async def _installed(client: Any) -> AsyncGenerator[str]:
    await install_custom_resources(client)
    async with fresh_namespace(client) as namespace:
        yield namespace


async def _start(http: aiohttp.ClientSession, body: Mapping[str, Any], api_key: str) -> str:
    async with http.post("/start", json=body, headers={"X-API-Key": api_key}) as response:
        response.raise_for_status()
        return (await response.json())["session_api_key"]


def _get(path: str, name: str, value: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{name}: {value}\r\n\r\n".encode()


def pin(gateway: int) -> None:
    """Run the gateway on one core, and this process with all clients on the other ones, if there are any."""
    first, *others = sorted(os.sched_getaffinity(0))
    if others:
        for task in Path(f"/proc/{gateway}/task").iterdir():
            os.sched_setaffinity(int(task.name), {first})
        os.sched_setaffinity(0, others)


async def phase(here: Scene, seconds: float, bad_rate: int) -> Phase:
    """Run all clients at once, each in its own process; without bad requests if their rate is 0."""
    cpu = Cpu({"gateway": here.gateway.pid})
    clients = {who: _client(here.port, GOOD_RATES[who], seconds, request) for who, request in here.good.items()}
    if bad_rate:
        clients["bad"] = _client(here.port, bad_rate, seconds, here.bad)
    before = cpu.read()
    outputs = dict(zip(clients, await asyncio.gather(*clients.values()), strict=True))
    outputs["gateway"] = {"cpu_seconds": cpu.read()["gateway"] - before["gateway"]}
    return outputs


async def _client(port: int, rate: int, seconds: float, request: bytes) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.paced", str(port), str(rate), str(seconds)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    printed, _ = await process.communicate(request)
    if process.returncode:
        raise RuntimeError(f"a client ended with {process.returncode}")
    return json.loads(printed)


def grid(rounds: list[tuple[Phase, Phase]]) -> Grid:
    """Medians over all rounds, and the median of the rounds' own ratios."""
    rows: list[list[str]] = []
    for who, rate in GOOD_RATES.items():
        p99 = [(without[who]["p99"], under[who]["p99"]) for without, under in rounds]
        quiet, loud = median([one for one, _ in p99]), median([other for _, other in p99])
        ratio = median([other / one for one, other in p99])
        rows.append([f"{who}, {rate}/s", f"{quiet:.1f} ms", f"{loud:.1f} ms", f"{ratio:.2f}"])
    sent = median([under["bad"]["rate"] for _, under in rounds])
    return Grid(
        "Requests with bad API keys", ["good requests", "p99 alone", f"p99 beside {sent:.0f} bad/s", "ratio"], rows
    )


async def _measure(rounds: int, seconds: float, bad_rate: int) -> list[tuple[Phase, Phase]]:
    found: list[tuple[Phase, Phase]] = []
    async with scene(Progress()) as here:
        pin(here.gateway.pid)
        await phase(here, 2, 0)
        for _ in range(rounds):
            found.append((await phase(here, seconds, 0), await phase(here, seconds, bad_rate)))
    return found


def main(
    rounds: Annotated[int, typer.Option(help="How often each phase is measured.")] = 3,
    seconds: Annotated[float, typer.Option(help="Length of a phase.")] = 10,
    bad_rate: Annotated[int, typer.Option(help="Requests a second with bad keys.")] = 5000,
    output: Annotated[Path | None, typer.Option(help="JSON file for the figures.")] = None,
    page: Annotated[Path, typer.Option(help="The page whose table is renewed.")] = ROOT / "docs" / "measurements.md",
) -> None:
    """Measure good requests alone and beside bad ones, in turn, on a real control plane."""
    found = uvloop.run(_measure(rounds, seconds, bad_rate))
    table = grid(found)
    table.show()
    if output is not None:
        output.write_text(json.dumps([{"alone": alone, "beside": beside} for alone, beside in found], indent=1) + "\n")
        fill(page, NAME, table)


if __name__ == "__main__":
    typer.run(main)
