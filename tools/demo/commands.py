"""Runs other programs. Their failures become messages for people."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from local_cluster.errors import ClusterError
from local_cluster.paths import ROOT


def run(
    command: Sequence[str], *, stdin: str | None = None, env: Mapping[str, str] | None = None, remedy: str | None = None
) -> str:
    """Run a program and return its standard output. Raises ClusterError with its output on failure."""
    try:
        done = subprocess.run(
            command, input=stdin, capture_output=True, text=True, cwd=ROOT, env={**os.environ, **(env or {})}
        )
    except FileNotFoundError as error:
        raise ClusterError(f"{command[0]} is not installed", remedy=remedy or f"install {command[0]}") from error
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()
        name = Path(command[0]).name
        raise ClusterError(f"{name} {' '.join(command[1:6])} … failed: {said}", remedy=remedy)
    return done.stdout


def follow(command: Sequence[str], *, env: Mapping[str, str] | None = None, prefix: str = "    ") -> tuple[int, str]:
    """Run a program, show its lines as they come, and return its exit code and its output."""
    lines: list[str] = []
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        cwd=ROOT,
        env={**os.environ, **(env or {})},
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(f"{prefix}{line.rstrip()}", flush=True)
            lines.append(line)
    return process.returncode, "".join(lines)
