"""The command line: `python -m bench.soak --help`."""

import logging
import random
import secrets
from pathlib import Path
from typing import Annotated

import structlog
import typer
import uvloop

from bench.soak.course import rows
from bench.soak.run import soak
from bench.tables import Grid, fill
from local_cluster.paths import ROOT
from local_cluster.progress import Progress

_NAME = "a soak"


def main(
    minutes: Annotated[float, typer.Option(help="How long sandboxes come.")] = 120.0,
    rate: Annotated[float, typer.Option(help="Lives a minute.")] = 20.0,
    trouble_seconds: Annotated[float, typer.Option(help="Between two troubles.")] = 45.0,
    seed: Annotated[int | None, typer.Option(help="Draws lives and troubles. Default: another one each time.")] = None,
    page: Annotated[Path, typer.Option(help="The page whose table is renewed.")] = ROOT / "docs" / "measurements.md",
) -> None:
    """Lives of all kinds under all kinds of trouble; fails if anything is left, or any life went wrong."""
    # Each request that meets a restart of the API server would be a line.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    chosen = secrets.randbelow(2**32) if seed is None else seed
    print(f"--seed={chosen}", flush=True)
    course, wrong = uvloop.run(soak(minutes, rate, trouble_seconds, random.Random(chosen), Progress()))
    table = Grid("A soak", ["", ""], rows(course, minutes))
    table.show()
    for what in wrong:
        print(f"WRONG: {what}", flush=True)
    if wrong:
        raise typer.Exit(1)
    fill(page, _NAME, table)


if __name__ == "__main__":
    typer.run(main)
