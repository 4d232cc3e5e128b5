"""What a greedy owner does to a modest one: `python -m bench.greedy --help`.

Both have sandboxes behind the same gateway. The modest one's calls come at fixed moments; the greedy one does one thing
at a time, as fast as it gets answers. Each is measured three times in turn: without the greedy one, beside it, and
while it does the same to another gateway process on the same core. What the last one adds is the machine's doing.
"""

import asyncio
import json
import os
import secrets
import sys
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import aiohttp
import typer
import uvloop

from bench.cpu import Cpu
from bench.crowd import side_by_side
from bench.figures import median
from bench.greedy_clients import polite
from bench.memory import command, text
from bench.plane import OWNER, Plane, plane
from bench.processes import Measured
from bench.tables import Grid, fill
from control_plane.gateway.support import add_api_key
from control_plane.naming import runtime_id
from local_cluster.paths import ROOT
from local_cluster.ports import free_port
from local_cluster.progress import Progress
from sandbox_crds.models.sandbox import COMMAND_BYTES

NAME = "a greedy owner"
MODEST = "modest"
RATES = {"/start": 4.0, "/sessions/{id}": 20.0, "/list": 20.0, "sandbox GET": 50.0, "WebSocket": 50.0, "probe": 20.0}
"""Calls a second of the modest owner. The probe is `/healthz` of the gateway: how long its loop takes to come round."""
_WEBSOCKET = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
_MIB = 1024 * 1024

type Found = dict[str, Any]
"""By kind of call what came of it; `greedy`: of the greedy ones; `cpu`: share of a core that the gateway used."""


@dataclass(frozen=True)
class Attack:
    """What the greedy owner does."""

    connections: int
    requests: Sequence[str] = ()
    websocket: str = ""


@dataclass(frozen=True)
class Scene:
    """Two gateways, and what is sent to them."""

    gateways: tuple[Measured, Measured]
    ports: tuple[int, int]
    modest: Mapping[str, Any]
    attacks: Mapping[str, Attack]


def http(method: str, path: str, headers: Mapping[str, str], body: Any = None) -> str:
    """A request as text."""
    content = "" if body is None else body if isinstance(body, str) else json.dumps(body)
    lines = {"Host": "127.0.0.1", **headers}
    if content:
        lines |= {"Content-Type": "application/json", "Content-Length": str(len(content))}
    return f"{method} {path} HTTP/1.1\r\n" + "".join(f"{n}: {v}\r\n" for n, v in lines.items()) + "\r\n" + content


def start_body(port: int, session_id: str) -> dict[str, Any]:
    """Of a /start."""
    return {"image": "registry.example/agent-server:1", "session_id": session_id, "command": command(0, port)}


def largest(port: int, session_id: str) -> dict[str, Any]:
    """As much as one may send."""
    environment = {f"A{number}": text(100_000) for number in range(10)}
    return {**start_body(port, session_id), "command": command(COMMAND_BYTES, port), "environment": environment}


def attacks(port: int, key: str, limited_key: str, session_keys: Sequence[str]) -> dict[str, Attack]:
    """All of them. `limited_key` may call once a minute."""
    api, limited = {"X-API-Key": key}, {"X-API-Key": limited_key}
    sessions = [f"greedy-{number}" for number in range(len(session_keys))]
    own = [{"X-Session-API-Key": session_key} for session_key in session_keys]
    ids = "&".join(f"ids={session}" for session in sessions)
    some = [start_body(port, f"more-{number}") for number in range(64)]
    wrong = {"X-Session-API-Key": own[0]["X-Session-API-Key"][:-4] + "aaaa"}
    return {
        "largest /start": Attack(16, [http("POST", "/start", api, largest(port, f"l-{n}")) for n in range(4)]),
        "/start of what runs": Attack(64, [http("POST", "/start", api, start_body(port, each)) for each in sessions]),
        "/start and /stop": Attack(
            16,
            [
                request
                for body in some
                for request in (
                    http("POST", "/start", api, body),
                    http("POST", "/stop", api, {"runtime_id": runtime_id(OWNER, body["session_id"])}),
                )
            ],
        ),
        "/list": Attack(64, [http("GET", "/list", api)]),
        "/sessions/{id}": Attack(64, [http("GET", f"/sessions/{each}", api) for each in sessions]),
        "/sessions/batch": Attack(64, [http("GET", f"/sessions/batch?{ids}", api)]),
        "/explain": Attack(64, [http("GET", f"/explain/{runtime_id(OWNER, each)}", api) for each in sessions]),
        "wrong /start": Attack(64, [http("POST", "/start", api, {"image": 1, "command": [0] * 5000, "x": "y"})]),
        "over its rate": Attack(64, [http("GET", "/list", limited)]),
        "wrong keys": Attack(128, [http("GET", "/x", wrong), http("GET", "/list", {"X-API-Key": "wrong"})]),
        "sandbox GET": Attack(256, [http("GET", "/bytes/100", each) for each in own]),
        "downloads": Attack(64, [http("GET", f"/bytes/{_MIB}", each) for each in own]),
        "uploads": Attack(64, [http("POST", "/bytes/1", each, "x" * _MIB) for each in own[:4]]),
        "WebSockets": Attack(128, websocket=http("GET", "/socket", {**_WEBSOCKET, **own[0]})),
    }


def modest(port: int, key: str, session_key: str) -> dict[str, Any]:
    """Kinds of the modest owner's calls, but for the ports that they go to."""
    api, own = {"X-API-Key": key}, {"X-Session-API-Key": session_key}
    sessions = [f"once-{number}" for number in range(64)]
    return {
        "/start": {
            "requests": [http("POST", "/start", api, start_body(port, each)) for each in sessions],
            "afterwards": [http("POST", "/stop", api, {"runtime_id": runtime_id(MODEST, each)}) for each in sessions],
        },
        "/sessions/{id}": {"requests": [http("GET", "/sessions/kept", api)]},
        "/list": {"requests": [http("GET", "/list", api)]},
        "sandbox GET": {"requests": [http("GET", "/bytes/100", own)]},
        "WebSocket": {"requests": [], "websocket": http("GET", "/socket", {**_WEBSOCKET, **own})},
        "probe": {"requests": [http("GET", "/healthz", {})]},
    }


@asynccontextmanager
async def agents() -> AsyncGenerator[int]:
    """The port of agent servers in a process of their own."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "bench.greedy_agents", str(port))
    try:
        yield port
    finally:
        process.kill()
        await process.wait()


async def started(url: str, key: str, port: int, session_ids: Sequence[str]) -> list[str]:
    """The session keys of these, which run."""
    found: dict[str, str] = {}
    async with aiohttp.ClientSession(url, headers={"X-API-Key": key}, trust_env=False) as client:

        async def one(number: int) -> None:
            body = start_body(port, session_ids[number])
            while session_ids[number] not in found:
                async with client.post("/start", json=body) as response:
                    response.raise_for_status()
                    answer = await response.json()
                if answer["status"] == "running":
                    found[session_ids[number]] = answer["session_api_key"]

        await side_by_side(one, range(len(session_ids)), at_once=8)
    return [found[session_id] for session_id in session_ids]


@asynccontextmanager
async def scene(progress: Progress, sandboxes: int) -> AsyncGenerator[Scene]:
    """All of it is gone afterwards. The gateways have the first core, all else the others."""
    first, *others = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, others or {first})
    polite(-5)
    modest_key, limited_key = secrets.token_hex(16), secrets.token_hex(16)
    async with plane(progress) as here, agents() as own_port, agents() as greedy_port:
        await add_api_key(here.client, here.namespace, modest_key, MODEST)
        limits = json.dumps({"limits": {"requestsPerMinute": 1}})
        await add_api_key(here.client, here.namespace, limited_key, OWNER, policy=limits)
        second = replace(here, gateway_port=free_port(), probes_port=free_port())
        operator, gateways = await here.operator(), (await here.gateway(), await second.gateway())
        try:
            await asyncio.gather(operator.ready(), *(gateway.ready() for gateway in gateways))
            for gateway in gateways:
                for task in Path(f"/proc/{gateway.pid}/task").iterdir():  # noqa: ASYNC240 - nothing is measured yet
                    os.sched_setaffinity(int(task.name), {first})
            ports = (here.gateway_port, second.gateway_port)
            url = f"http://127.0.0.1:{ports[0]}"
            with progress.step(f"{sandboxes} sandboxes of the greedy owner"):
                ids = [f"greedy-{number}" for number in range(sandboxes)]
                keys = await started(url, here.api_key, greedy_port, ids)
            [own] = await started(url, modest_key, own_port, ["kept"])
            yield Scene(
                gateways,
                ports,
                _with_ports(modest(own_port, modest_key, own), here),
                attacks(greedy_port, here.api_key, limited_key, keys),
            )
        finally:
            await asyncio.gather(operator.stop(), *(gateway.stop() for gateway in gateways))


def _with_ports(kinds: dict[str, Any], here: Plane) -> dict[str, Any]:
    ports = {name: here.probes_port if name == "probe" else here.gateway_port for name in kinds}
    return {name: {**kind, "port": ports[name], "rate": RATES[name]} for name, kind in kinds.items()}


async def client(who: str, spec: Mapping[str, Any]) -> Found:
    """What such a client prints."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.greedy_clients", who),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    printed, _ = await process.communicate(json.dumps(spec).encode())
    if process.returncode:
        raise RuntimeError(f"a client ended with {process.returncode}")
    return json.loads(printed)


async def phase(here: Scene, seconds: float, attack: Attack | None = None, port: int = 0) -> Found:
    """The modest owner's calls; meanwhile, if there is an attack, the greedy one's to the gateway at `port`."""
    cpu = Cpu({"gateway": here.gateways[0].pid})
    attacking = None
    if attack is not None:
        spec = {"port": port, "seconds": seconds + 1.5, **vars(attack)}
        attacking = asyncio.create_task(client("greedy", spec))
        await asyncio.sleep(1)
    before, began = cpu.read()["gateway"], time.perf_counter()
    found = await client("modest", {"seconds": seconds, "kinds": here.modest})
    found["cpu"] = (cpu.read()["gateway"] - before) / (time.perf_counter() - began)
    if attacking is not None:
        found["greedy"] = await attacking
    return found


type Round = tuple[Found, Found, Found]
"""Alone, beside the attack on another gateway, and beside it."""


def grid(rounds: Mapping[str, Sequence[Round]]) -> Grid:
    """The p99 beside each attack, and its ratios to the one alone: of the machine, and in all."""
    rows: list[list[str]] = []
    for attack, found in rounds.items():
        row = [attack, f"{median([beside['greedy']['per_second'] for *_, beside in found]):.0f}"]
        for kind in RATES:
            p99 = [[one[kind]["p99"] for one in each] for each in found]
            ours = median([beside / alone for alone, _, beside in p99])
            machine = median([elsewhere / alone for alone, elsewhere, _ in p99])
            row.append(f"{median([beside for *_, beside in p99]):.0f} ms, {ours:.1f} ({machine:.1f})")
        rows.append([*row, f"{100 * median([beside['cpu'] for *_, beside in found]):.0f} %"])
    return Grid("A greedy owner", ["greedy", "a second", *RATES, "CPU"], rows)


async def _measure(rounds: int, seconds: float, sandboxes: int, only: str) -> dict[str, list[Round]]:
    found: dict[str, list[Round]] = {}
    progress = Progress()
    async with scene(progress, sandboxes) as here:
        await phase(here, 2)
        for name, attack in here.attacks.items():
            if only not in name:
                continue
            for _ in range(rounds):
                alone = await phase(here, seconds)
                elsewhere = await phase(here, seconds, attack, here.ports[1])
                beside = await phase(here, seconds, attack, here.ports[0])
                found.setdefault(name, []).append((alone, elsewhere, beside))
            print(name, json.dumps(found[name][-1][2]["greedy"]), flush=True)
    return found


def main(
    rounds: Annotated[int, typer.Option(help="How often each phase is measured.")] = 3,
    seconds: Annotated[float, typer.Option(help="Length of a phase.")] = 5,
    sandboxes: Annotated[int, typer.Option(help="Of the greedy owner.")] = 100,
    only: Annotated[str, typer.Option(help="Only what has this in its name.")] = "",
    output: Annotated[Path | None, typer.Option(help="JSON file for the figures.")] = None,
    page: Annotated[Path, typer.Option(help="The page whose table is renewed.")] = ROOT / "docs" / "measurements.md",
) -> None:
    """A modest owner's calls by themselves and beside a greedy owner's, in turn."""
    found = uvloop.run(_measure(rounds, seconds, sandboxes, only))
    table = grid(found)
    table.show()
    if output is not None:
        output.write_text(json.dumps(found, indent=1) + "\n")
        fill(page, NAME, table)


if __name__ == "__main__":
    typer.run(main)
