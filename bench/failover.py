"""How long there is no leader when the operator's leader is lost: `python -m bench.failover --help`."""

import asyncio
import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
import uvloop
from rich.console import Console
from rich.table import Table

from bench.figures import median
from control_plane.cluster_scope import connected, fresh_namespace, install_custom_resources
from control_plane.leading.crew import Crew, Member
from control_plane.pools.basin import Basin, Node
from control_plane.waiting import eventually
from local_cluster.control_plane import ControlPlane
from local_cluster.paths import ROOT
from local_cluster.progress import Progress
from sandbox_common.kube.resources import LEASES
from sandbox_common.reasons import Reason

LOSSES = {
    "SIGTERM": "it ends as in an upgrade or the drain of a node",
    "SIGKILL": "its process dies",
    "cut": "its network is gone",
}
_LEASE = "openhands-sandbox-operator"

type Seconds = dict[str, list[tuple[float, float]]]
"""By loss: from the loss to another's lease, and to the readiness of a Sandbox that was made right after the loss."""


async def lose(crew: Crew, leader: Member, how: str) -> None:
    """Take the leader away."""
    match how:
        case "SIGTERM":
            await leader.stop()
        case "SIGKILL":
            await leader.kill()
        case _:
            leader.link.cut()


async def measure(basin: Basin, crew: Crew, how: str, name: str) -> tuple[float, float]:
    """One loss; afterwards all is as before."""
    leader = await crew.leader()
    before = await _holder(basin)
    began = time.monotonic()
    losing = asyncio.create_task(lose(crew, leader, how))
    ready = asyncio.create_task(_until_ready(basin, name, began))
    await eventually(partial(_has_changed, basin, before), 60)
    taken = time.monotonic() - began
    result = taken, await ready
    await losing
    if how == "cut":
        leader.link.mend()
        await eventually(lambda: _is_standby(leader), 60)
    else:
        await leader.restart()
    return result


async def _until_ready(basin: Basin, name: str, began: float) -> float:
    await basin.add(name)
    await basin.until(Reason.READY, name)
    return time.monotonic() - began


async def _holder(basin: Basin) -> str:
    return (await basin.client.get(LEASES, basin.namespace, _LEASE))["spec"].get("holderIdentity") or ""


async def _has_changed(basin: Basin, before: str) -> bool:
    return await _holder(basin) not in {"", before}


async def _is_standby(member: Member) -> bool:
    return await member.process.status("/readyz") == 200 and not await member.leads()


async def all_losses(rounds: int, lease: int, progress: Progress) -> Seconds:
    """Each kind of loss as often, on a control plane of its own with two operators."""
    found: Seconds = defaultdict(list)
    with tempfile.TemporaryDirectory() as directory, ControlPlane(controller_manager=True) as running:
        keys = Path(directory) / "keys"
        keys.mkdir()
        (keys / "v1").write_text("master-key-of-the-measurement-0123456789")
        async with connected(running) as client:
            await install_custom_resources(client)
            async with fresh_namespace(client) as namespace:
                basin, node = Basin(client, namespace, "pool"), Node(client, namespace)
                await basin.add_class()
                crew = Crew.aboard(running, namespace, keys, Path(directory), 2, f"--lease-duration-seconds={lease}")
                async with node.running_all(), crew as crew:
                    for number in range(rounds):
                        for how, what in LOSSES.items():
                            with progress.step(f"round {number + 1} of {rounds}: {what}"):
                                found[how].append(await measure(basin, crew, how, f"sandbox-{number}-{how.lower()}"))
    return found


def main(
    rounds: Annotated[int, typer.Option(min=1, max=50, help="losses of each kind")] = 5,
    lease: Annotated[int, typer.Option(min=1, max=60, help="seconds of the lease")] = 8,
    directory: Annotated[Path, typer.Option(help="where failover.json goes")] = ROOT / "docs",
) -> None:
    """Measure how long nobody leads when the leader of two operators is lost; write a table and the numbers."""
    found = uvloop.run(all_losses(rounds, lease, Progress()))
    show(found, lease)
    (directory / "failover.json").write_text(json.dumps(summary(found, lease), indent=2) + "\n")


def summary(found: Mapping[str, Sequence[tuple[float, float]]], lease: int) -> dict[str, Any]:
    """For JSON; times in seconds."""
    losses = {
        how: {
            "lease_taken": [round(taken, 3) for taken, _ in times],
            "sandbox_ready": [round(ready, 3) for _, ready in times],
        }
        for how, times in found.items()
    }
    return {"lease_seconds": lease, "losses": losses}


def show(found: Mapping[str, Sequence[tuple[float, float]]], lease: int) -> None:
    """Print medians and the worst."""
    table = Table("the leader is lost", "", "another leads: median", "worst", "a new Sandbox is ready: median", "worst")
    table.title = f"Seconds after the loss, with a lease of {lease} s"
    for how, times in found.items():
        taken, ready = [one for one, _ in times], [other for _, other in times]
        cells = (median(taken), max(taken), median(ready), max(ready))
        table.add_row(how, LOSSES[how], *(f"{cell:.2f}" for cell in cells))
    Console(width=150).print(table)


if __name__ == "__main__":
    typer.run(main)
