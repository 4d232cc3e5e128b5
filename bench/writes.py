"""API writes of each step in a sandbox's life: `python -m bench.writes --help`.

Counted from the API server's audit log, by user agent, while the real operator and gateway do each step at an easy
pace. Fails when operator and gateway together need more than `BUDGET` says.
"""

import json
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
import uvloop

from bench.classes import DISCARDING, LEAN
from bench.crowd import side_by_side
from bench.plane import plane
from bench.product import OURS, Product, running
from bench.tables import Grid, fill
from local_cluster.audit_log import BY_CLOCK
from local_cluster.paths import ROOT
from local_cluster.progress import Progress

COLD, WARM, REFILL, SUSPEND, RESUME, DELETE = "cold start", "warm start", "refill", "suspend", "resume", "delete"
BUDGET: Mapping[str, float] = {COLD: 4, WARM: 3, REFILL: 2, SUSPEND: 3, RESUME: 4, DELETE: 1}
"""Writes of operator and gateway for one sandbox; for a refill, for one pod of the pool."""
_TOLERANCE = 0.1
"""The pool's own status is written every few seconds, whatever the number of claims."""
_READS = frozenset({"get", "list"})

type Tally = Counter[tuple[str, str]]


def writes(tally: Tally) -> Tally:
    """Without reads, and without Leases and usage, which are written by the clock."""
    words = {key: key[1].split() for key in tally}
    return Counter(
        {key: n for key, n in tally.items() if words[key][0] not in _READS and words[key][1] not in BY_CLOCK}
    )


def split_refill(tally: Tally) -> tuple[Tally, Tally]:
    """The writes of claims, and those that fill the pool again: a claim itself creates neither pod nor Secret."""
    filling = {"create pods", "create secrets", "patch sandboxpools/status"}
    refill = Counter({key: n for key, n in tally.items() if key[0] not in OURS or key[1] in filling})
    return tally - refill, refill


def total(tally: Tally) -> int:
    """Writes of operator and gateway, refused ones included."""
    return sum(number for (who, _), number in tally.items() if who in OURS)


async def measure(product: Product, count: int, progress: Progress) -> dict[str, tuple[int, Tally]]:
    """By step: how many there were, and their writes in all."""
    http, found = product.http, dict[str, tuple[int, Tally]]()

    async def step(name: str, do: Callable[[str], Awaitable[None]], names: Sequence[str]) -> Tally:
        with progress.step(f"{name}, {len(names)} times"):
            await product.cpu.settle()
            audit = product.plane.audit()
            await side_by_side(do, names, at_once=2)
            await product.cpu.settle()
            return writes(audit.tally(product.plane.namespace))

    cold = [f"cold-{number}" for number in range(count)]
    found[COLD] = count, await step(COLD, http.create, cold)
    found[SUSPEND] = count, await step(SUSPEND, http.pause, cold)
    found[RESUME] = count, await step(RESUME, http.resume, cold)
    found[DELETE] = count, await step(DELETE, http.delete, cold)
    await http.gone()
    await http.fill(2 * count)
    warm = [f"warm-{number}" for number in range(count)]
    claimed, refill = split_refill(await step(WARM, http.claim, warm))
    found[WARM] = await http.warm(warm), claimed
    found[REFILL] = refill["sandbox-operator", "create pods"], refill
    return found


def main(
    count: Annotated[int, typer.Option(min=1, max=500, help="sandboxes for each step")] = 20,
    directory: Annotated[Path, typer.Option(help="where writes.json goes")] = ROOT / "docs",
) -> None:
    """Count the API writes of starts, claims, suspensions, resumes and ends; write a table and the numbers."""
    found = uvloop.run(whole(count, Progress()))
    table = grid(found)
    table.show()
    fill(directory / "measurements.md", "writes", table)
    numbers = {
        step: {f"{who}: {what}": round(number / done, 3) for (who, what), number in sorted(tally.items())}
        for step, (done, tally) in found.items()
        if done
    }
    (directory / "writes.json").write_text(json.dumps(numbers, indent=2) + "\n")
    if problems := list(over_budget(found)):
        typer.echo("\n".join(problems), err=True)
        raise typer.Exit(1)


async def whole(count: int, progress: Progress) -> dict[str, tuple[int, Tally]]:
    """All steps on one control plane."""
    async with plane(progress, **LEAN, **DISCARDING) as here, running(here) as product:
        return await measure(product, count, progress)


def over_budget(found: Mapping[str, tuple[int, Tally]]) -> list[str]:
    """What costs more than it may, or did not happen, in words."""
    problems: list[str] = []
    for step, (done, tally) in found.items():
        if not done:
            problems.append(f"{step}: there was none")
        elif (number := total(tally) / done) > BUDGET[step] + _TOLERANCE:
            problems.append(f"{step}: {number:.2f} writes, and {BUDGET[step]:g} are to be enough")
    return problems


def grid(found: Mapping[str, tuple[int, Tally]]) -> Grid:
    """The writes of one, by who."""
    rows: list[list[str]] = []
    for step, (done, tally) in found.items():
        if done:
            others = sum(number for (who, _), number in tally.items() if who not in OURS)
            listings = (listed(tally, who, done) for who in OURS)
            rows.append([step, f"{BUDGET[step]:g}", f"{total(tally) / done:.2f}", *listings, f"{others / done:.2f}"])
    return Grid("API writes for one", ["", "budget", "both", "gateway", "operator", "all others"], rows)


def listed(tally: Tally, who: str, done: int) -> str:
    """Like `create pods, patch pods 0.50`."""
    mine = {what: number / done for (agent, what), number in sorted(tally.items()) if agent == who}
    return ", ".join(what if number == 1 else f"{what} {number:.2f}" for what, number in mine.items())


if __name__ == "__main__":
    typer.run(main)
