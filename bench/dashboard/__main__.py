"""Pictures of the chart's dashboard from a run with real processes: `python -m bench.dashboard --help`.

The API server, etcd, scheduler, controller manager, two operators, the gateway and Prometheus are real. Nodes are
simulated: kwok reports pods as ready after a few seconds, and this program answers for all agent servers.
"""

import asyncio
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
import uvloop

from bench.classes import DISCARDING
from bench.dashboard.agents import UsedAgents
from bench.dashboard.churn import MISSING_IMAGE, PHASES, Churn
from bench.dashboard.clients import IDLE_SECONDS
from bench.dashboard.drawing import Graph, Series, picture, pieces
from bench.plane import Plane, plane
from bench.tables import Grid, fill
from dashboard.panels import ROWS, Panel
from local_cluster.paths import ROOT
from local_cluster.progress import Progress
from local_cluster.simulated_nodes import stages
from prometheus import Server, serving

_STARTS = 1500, 6000
"""How long simulated nodes take to start a pod, in milliseconds."""
_STEP = 5
"""Seconds between two scrapes, and between two points."""
_RATE_INTERVAL = "30s"
_SETTLE_SECONDS = 15


@dataclass(frozen=True)
class Record:
    """What Prometheus answered, row by row; when each phase began and all ended, in seconds since 1970."""

    graphs: Mapping[str, Sequence[Graph]]
    phases: Sequence[float]
    end: float

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.end - self.phases[0]

    @property
    def marks(self) -> dict[str, float]:
        """Letters of the phases, and when they began, in seconds after the first one."""
        return {chr(ord("A") + number): begin - self.phases[0] for number, begin in enumerate(self.phases)}


async def record(phase_seconds: float, progress: Progress) -> Record:
    """The whole run."""
    async with plane(progress, UsedAgents, stages(_STARTS, MISSING_IMAGE)) as here:
        agents = here.agents
        assert isinstance(agents, UsedAgents)
        ports = {"vscode": 0, "work-1": agents.pages, "work-2": 0}
        await here.set_class({**DISCARDING, "idleTimeoutSeconds": IDLE_SECONDS, "servicePorts": ports})
        async with Churn.on(here) as churn, serving(here.logs, churn.targets(), {"groups": []}, _STEP) as prometheus:
            await asyncio.sleep(_SETTLE_SECONDS)
            phases: list[float] = []
            for phase in PHASES:
                phases.append(time.time())
                with progress.step(phase.what):
                    end = asyncio.get_running_loop().time() + phase_seconds
                    await phase.happens(churn)
                    await churn.clients.arrive(phase.per_minute, end)
            span = phases[0], time.time()
            graphs = {row.title: [await graph(panel, prometheus, here, span) for panel in row.panels] for row in ROWS}
            return Record(graphs, phases, span[1])


async def graph(panel: Panel, prometheus: Server, here: Plane, span: tuple[float, float]) -> Graph:
    """The panel, with the answers to its queries."""
    found: list[Series] = []
    for query in panel.queries:
        expression = query.expression.replace("$namespace", here.namespace).replace("$__rate_interval", _RATE_INTERVAL)
        for labels, samples in await prometheus.series(expression, *span, _STEP):
            if parts := pieces([(at - span[0], value) for at, value in samples], _STEP):
                found.append(Series(legend(query.legend, labels), parts))
    return Graph(panel.title, panel.unit, found)


def legend(text: str, labels: Mapping[str, str]) -> str:
    """The name of a series as Grafana makes it: `{{label}}` is the value of a label."""
    return re.sub(r"{{(\w+)}}", lambda found: labels.get(found[1], ""), text)


def file_name(row: str) -> str:
    """Of the picture of a row with this title."""
    return f"dashboard-{row.lower().replace(' ', '-')}.svg"


def table(found: Record) -> Grid:
    """What happened when."""
    rows = [
        [letter, f"{at / 60:.1f}", phase.what] for (letter, at), phase in zip(found.marks.items(), PHASES, strict=True)
    ]
    return Grid("What happened", ["", "Minute", "What happens"], rows)


def main(
    phase: Annotated[float, typer.Option(min=20, help="seconds of each of the seven phases")] = 60,
    directory: Annotated[Path, typer.Option(help="where the pictures go")] = ROOT / "docs",
) -> None:
    """Draw the dashboard's panels from a run of two real operators and a gateway that a real Prometheus scrapes.

    The nodes are simulated. Writes one SVG for each row of the dashboard, and a table of what happened.
    """
    found = uvloop.run(record(phase, Progress()))
    begin = datetime.fromtimestamp(found.phases[0], UTC)
    foot = (
        f"python -m bench.dashboard, {begin:%Y-%m-%d %H:%M} UTC, simulated nodes. "
        f"Rates over {_RATE_INTERVAL}. docs/observability.md lists what happens at the letters."
    )
    for title, graphs in found.graphs.items():
        (directory / file_name(title)).write_text(picture(title, graphs, found.seconds, found.marks, foot))
    happened = table(found)
    happened.show()
    fill(directory / "observability.md", "run of the dashboard", happened)
    if empty := [graph.title for graphs in found.graphs.values() for graph in graphs if not graph.series]:
        typer.echo(f"Panels without data: {', '.join(empty)}", err=True)


if __name__ == "__main__":
    typer.run(main)
