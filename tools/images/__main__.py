"""Command line: python -m images build [controller|agent-server|agent-server-full|all]."""

import json
import time
from enum import StrEnum
from typing import Annotated

import typer

from images.build import BuiltImage, Engine, build
from images.recipes import ImageName
from local_cluster.errors import ClusterError
from local_cluster.progress import Progress, elapsed

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


class Choice(StrEnum):
    CONTROLLER = ImageName.CONTROLLER
    AGENT_SERVER = ImageName.AGENT_SERVER
    AGENT_SERVER_FULL = ImageName.AGENT_SERVER_FULL
    ALL = "all"


@app.callback()
def images() -> None:
    """The project's container images: the controller (operator and gateway), the agent server, and a larger one."""


@app.command("build")
def build_command(
    image: Annotated[Choice, typer.Argument(help="Which image.")] = Choice.ALL,
    engine: Annotated[
        Engine, typer.Option(help="buildah needs root, but neither Docker nor an image registry.")
    ] = Engine.BUILDAH,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result as one JSON object on standard output.")
    ] = False,
) -> None:
    """Build images, unless they were already built from the same files.

    With buildah the result is a docker-archive in the cache directory, with Docker an image in the engine.
    """
    progress = Progress()
    started = time.monotonic()
    names = list(ImageName) if image is Choice.ALL else [ImageName(image)]
    try:
        built = {name: build(name, engine, progress) for name in names}
    except ClusterError as error:
        progress.say(str(error))
        raise typer.Exit(1) from None
    progress.say(f"Images ready after {elapsed(time.monotonic() - started).strip()}")
    print(json.dumps({name: _fields(result) for name, result in built.items()}) if as_json else _lines(built))


def _fields(built: BuiltImage) -> dict[str, str | None]:
    return {"reference": built.reference, "archive": str(built.archive) if built.archive else None}


def _lines(built: dict[ImageName, BuiltImage]) -> str:
    return "\n".join(f"{name}: {result.reference}  {result.archive or ''}".rstrip() for name, result in built.items())


if __name__ == "__main__":
    app()
