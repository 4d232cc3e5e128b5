"""Command line: python -m supply_chain audit|sbom."""

import tomllib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from images.build import build
from images.recipes import RECIPES, ImageName
from local_cluster.errors import ClusterError
from local_cluster.paths import ROOT
from supply_chain import advisories, chart, image_contents, locks, pinned, sbom
from supply_chain.advisories import ACCEPTED, SourceError
from supply_chain.locks import Lock, Pin

_REMEDY = "Run make audit where PyPI's JSON API can be reached, or name an OSV server's /v1/query in OSV_URL."

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def supply_chain() -> None:
    """What the project is made of: bills of material, and whether its parts are pinned and free of vulnerabilities."""


@app.command()
def audit(
    osv_url: Annotated[
        str, typer.Option(envvar="OSV_URL", help="An OSV server's /v1/query to ask instead of PyPI's JSON API.")
    ] = "",
    source_optional: Annotated[
        bool, typer.Option("--source-optional", help="Warn, and do not fail, when no source can be asked.")
    ] = False,
) -> None:
    """Check that all dependencies are pinned by hash, and that no image has a known vulnerability with a fix."""
    failures = list(pinned.problems(ROOT))
    warnings: list[str] = []
    if not failures:
        today = datetime.now(UTC).date()
        try:
            accepted = advisories.read_accepted(ACCEPTED.read_text(), today)
            locked = {lock: locks.read(lock) for lock in Lock}
            verdict = advisories.judge(advisories.ask(locked, osv_url), locked, accepted, today)
            failures, warnings = verdict.failures, verdict.warnings
        except ValueError as error:
            failures = [str(error)]
        except SourceError as error:
            text = f"NOT COMPARED with known vulnerabilities: {error}. {_REMEDY}"
            (warnings if source_optional else failures).append(text)
    for warning in warnings:
        typer.echo(f"warning: {warning}", err=True)
    for failure in failures:
        typer.echo(f"error: {failure}", err=True)
    if failures:
        raise typer.Exit(1)


@app.command("sbom")
def write_sboms(
    output: Annotated[Path, typer.Option(help="Directory for the documents.")] = ROOT / "dist" / "sbom",
    locks_only: Annotated[
        bool, typer.Option("--locks-only", help="List only the locked packages of the images, and build nothing.")
    ] = False,
) -> None:
    """Write bills of material of both images and the chart: CycloneDX 1.6, JSON.

    Builds missing images first, which needs root but no Docker.
    """
    documents: dict[str, sbom.Document] = {}
    try:
        for image, lock in {ImageName.CONTROLLER: Lock.CONTROLLER, ImageName.AGENT_SERVER: Lock.AGENT_SERVER}.items():
            archive = None if locks_only else build(image).archive
            contents = image_contents.read(archive) if archive else None
            title, pins = RECIPES[image].title, locks.read(lock)
            documents[title] = sbom.of_image(title, _version(image, pins), pins, contents)
        documents["chart"] = sbom.of_chart(chart.read(ROOT / "helm" / "openhands-sandbox"))
        texts = {name: sbom.text_of(document) for name, document in documents.items()}
    except (ClusterError, ValueError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None
    output.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        path = output / f"{name}.cdx.json"
        path.write_text(text)
        typer.echo(f"{path}: {len(documents[name]['components'])} components")


def _version(image: ImageName, pins: Sequence[Pin]) -> str:
    if image is ImageName.AGENT_SERVER:
        return next(pin.version for pin in pins if pin.name == RECIPES[image].title)
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


if __name__ == "__main__":
    app()
