"""The command line: the server, the sections to test, and where to write the report."""

import signal
import sys
import uuid
from pathlib import Path
from typing import Annotated

import httpx
import pytest
import typer
from rich.console import Console

from conformance.contract import SECTIONS
from conformance.plugin import Plugin, paths
from conformance.report import Report
from conformance.target import Target

_CONFIGURATION = Path(__file__).parent / "suite.toml"
_CANNOT_RUN = 2

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def run(
    url: Annotated[str, typer.Option(envvar="RUNTIME_API_URL", help="base address of the Runtime API")],
    api_key: Annotated[
        str,
        typer.Option(envvar="RUNTIME_API_KEY", show_default=False, help="its API key; better given by the variable"),
    ],
    image: Annotated[
        str, typer.Option(envvar="AGENT_SERVER_IMAGE", help="image with an agent server that the server can run")
    ] = "ghcr.io/openhands/agent-server:1.58.2-python",
    other_api_key: Annotated[
        str,
        typer.Option(
            envvar="OTHER_RUNTIME_API_KEY", show_default=False, help="API key of another owner, who must see nothing"
        ),
    ] = "",
    section: Annotated[
        list[str] | None,
        typer.Option(help=f"only this section; may be repeated: {', '.join(s.key for s in SECTIONS)}"),
    ] = None,
    sdk_python: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Python with the SDK, for the section SDK"),
    ] = None,
    start_timeout: Annotated[float, typer.Option(help="seconds until a sandbox must be ready")] = 300,
    report: Annotated[Path | None, typer.Option(dir_okay=False, help="write the report here, as JSON")] = None,
    junit: Annotated[Path | None, typer.Option(dir_okay=False, help="write the report here, as JUnit XML")] = None,
    pytest_arguments: Annotated[
        list[str] | None, typer.Argument(metavar="[-- PYTEST_ARGUMENTS]...", show_default=False)
    ] = None,
) -> None:
    """Test a server against the contract of the OpenHands Runtime API.

    It starts a few sandboxes, four at most at a time, and stops them all at the end.

    Exit code 0: the server conforms. 1: it does not. 2: the tests could not run.
    """
    target = Target(url.rstrip("/"), api_key, image, other_api_key, start_timeout, sdk_python)
    try:
        files = paths(section or [])
    except LookupError as error:
        raise typer.BadParameter(str(error), param_hint="--section") from None
    if problem := _out_of_reach(target):
        print(problem, file=sys.stderr)
        raise typer.Exit(_CANNOT_RUN)
    result = Report(target.url, target.image)
    arguments = ["-c", str(_CONFIGURATION), "--disable-plugin-autoload", *map(str, files), *(pytest_arguments or [])]
    if junit:
        arguments.append(f"--junitxml={junit.absolute()}")
    # Stop the sandboxes also when somebody ends the run. A shell's background jobs ignore SIGINT from their start.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)
    code = pytest.main(arguments, plugins=[Plugin(target, result)])
    if report:
        result.write(report)
    result.print(Console(soft_wrap=True))
    if code not in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}:
        raise typer.Exit(_CANNOT_RUN)
    raise typer.Exit(0 if result.conforms and code == pytest.ExitCode.OK else 1)


def _out_of_reach(target: Target) -> str:
    """Why nothing can be tested, or ""."""
    try:
        answer = httpx.get(f"{target.url}/sessions/{uuid.uuid4()}", headers={"X-API-Key": target.api_key}, timeout=60)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return f"{target.url} does not answer: {error}. Check --url, and that the server runs."
    if answer.status_code in {401, 403}:
        return f"{target.url} refuses the API key ({answer.status_code}). Set RUNTIME_API_KEY to one that it knows."
    return ""
