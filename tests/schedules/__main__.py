"""Play schedules by their seeds."""

import os
import sys
from typing import Annotated

import typer

from schedules import virtual_time


def main(
    seeds: Annotated[list[int], typer.Argument(help="Each seed gives the same schedule again.")],
    story: Annotated[bool, typer.Option(help="Also tell what happens if nothing is wrong.")] = False,
) -> None:
    """Play the schedules of these seeds, and say what was wrong. Ends with status 1 if anything was."""
    if os.environ.get("PYTHONHASHSEED") != "0":
        # The order of sets depends on the hashes.
        command = [sys.executable, "-m", "schedules", *sys.argv[1:]]
        os.execve(sys.executable, command, {**os.environ, "PYTHONHASHSEED": "0"})  # noqa: S606
    virtual_time.install()
    # Not before: these modules keep references to the clocks.
    from schedules.life import play

    failed = 0
    for seed in seeds:
        life = virtual_time.run(play(seed))
        if life.judge.complaints or story:
            print("\n".join([*life.story, *life.judge.complaints]))
        failed += bool(life.judge.complaints)
    print(f"{len(seeds)} schedules, {failed} with complaints")
    raise typer.Exit(int(failed > 0))


if __name__ == "__main__":
    typer.run(main)
