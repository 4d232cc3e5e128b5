"""Command line: python -m supply_chain audit|sbom."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from images.recipes import REPOSITORY
from supply_chain import advisories, locks, pinned
from supply_chain.advisories import ACCEPTED, SourceError
from supply_chain.locks import Lock

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
        bool, typer.Option("--source-optional", help="Warn, and do not fail, when nobody can be asked.")
    ] = False,
) -> None:
    """See that all that is installed is pinned by hash, and that no image has a known vulnerability that has a fix."""
    failures = list(pinned.problems(REPOSITORY))
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
            text = f"NOT COMPARED with known vulnerabilities, for nobody could be asked: {error}"
            (warnings if source_optional else failures).append(text)
    for warning in warnings:
        typer.echo(f"warning: {warning}", err=True)
    for failure in failures:
        typer.echo(f"error: {failure}", err=True)
    if failures:
        raise typer.Exit(1)


if __name__ == "__main__":
    app()
