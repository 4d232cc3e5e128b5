"""The data plane beside nginx and a naive gateway, one core each: `python -m bench.proxy --help`.

Every round measures all of them one after the other, and ratios are taken within a round: the machine's speed drifts.
Needs two cores, nginx, wrk and curl, and a C compiler. Everything stays on loopback.
"""

import json
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from bench.proxy.cases import CASES, Run
from bench.proxy.idle import KINDS, memory_each
from bench.proxy.report import as_json, idle_table, plot, summarize, table
from bench.proxy.servers import DIRECT, NAIVE, NGINX, OURS, MissingToolError, require_tools, targets
from bench.tables import fill

_ALL = (NGINX, OURS, NAIVE, DIRECT)
_DOCS = Path(__file__).parents[2] / "docs"


def main(
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of each case.")] = 5,
    seconds: Annotated[float, typer.Option(min=1, help="Length of one run.")] = 3,
    cases: Annotated[str, typer.Option(help=f"Names separated by commas, of {', '.join(CASES)}; none: - .")] = ",".join(
        CASES
    ),
    sockets: Annotated[int, typer.Option(help="Idle connections of each kind; 0: leave them out.")] = 2000,
    docs: Annotated[Path, typer.Option(help="Where proxy.json, proxy.svg and the page measurements.md are.")] = _DOCS,
) -> None:
    """Measure, print tables, and write JSON, a plot and the tables of the documentation."""
    chosen = {name: CASES[name] for name in cases.split(",") if name in CASES}
    if unknown := [name for name in cases.split(",") if name not in CASES and name != "-"]:
        raise typer.BadParameter(f"no such case: {', '.join(unknown)}", param_hint="--cases")
    try:
        require_tools()
    except MissingToolError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    runs: dict[str, dict[str, list[Run]]] = {name: {} for name in chosen}
    idle: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(prefix="bench-proxy-") as directory, targets(Path(directory), _ALL) as found:
        for number in range(rounds):
            for name, case in chosen.items():
                for target in found:
                    if target.name == NAIVE and (not case.naive or number > 0):
                        continue  # it is slow enough for one look
                    runs[name].setdefault(target.name, []).append(case.measure(target, seconds))
                typer.echo(f"round {number + 1} of {rounds}: {case.title}", err=True)
        for kind in KINDS if sockets else ():
            idle[kind] = {target.name: memory_each(target, kind, sockets) for target in found if target.name != DIRECT}
            typer.echo(f"{sockets} idle connections: {kind}", err=True)
    figures = {name: summarize(by_target) for name, by_target in runs.items()}
    grids = {"proxy": table(CASES, figures)} if figures else {}
    if idle:
        grids["proxy idle"] = idle_table(idle)
    for name, grid in grids.items():
        grid.show()
        fill(docs / "measurements.md", name, grid)
    (docs / "proxy.json").write_text(json.dumps(as_json(CASES, figures, idle), indent=1) + "\n")
    if figures:
        (docs / "proxy.svg").write_text(plot(CASES, figures))


if __name__ == "__main__":
    typer.run(main)
