"""Runs one command of a build as a step that shows progress and keeps a log."""

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from local_cluster.errors import ClusterError, tail
from local_cluster.progress import Progress

DETAIL_LENGTH = 100

# A text at the end of a log, and the remedy.
REMEDIES = (
    (
        r"CERTIFICATE_VERIFY_FAILED|invalid peer certificate|UnknownIssuer",
        "set SSL_CERT_FILE to the bundle of root certificates that this network needs, then run it again",
    ),
    (r"[Nn]o space left on device", "free some 6 GB on the disk of the cache directory, then run it again"),
    (
        r"Could not resolve|[Tt]emporary failure|dns error|Failed to fetch|Connection (refused|timed out)|unreachable",
        "the Debian mirror or the Python package index could not be reached: check the network, then run it again",
    ),
    (r"\bnot (known|trusted)\b|NO_PUBKEY", "install or update the package debian-archive-keyring, then run it again"),
)
OTHERWISE = "read the log, then run it again; finished layers are kept"


def run(
    title: str, command: Sequence[str], log: Path, progress: Progress, environment: Mapping[str, str] | None = None
) -> None:
    """Run a command with its output appended to `log` and `environment` added to this process's.

    Raises ClusterError when it cannot be started or fails.
    """
    with progress.step(title, lambda: _last_line(log)), log.open("ab") as output:
        try:
            done = subprocess.run(
                command,
                env={**os.environ, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        except FileNotFoundError:
            raise ClusterError(f"{title}: {command[0]} is not installed", remedy=f"install {command[0]}") from None
        if done.returncode != 0:
            raise ClusterError(f"{title} failed", log=log, remedy=remedy("\n".join(tail(log, 40))))


def remedy(log_end: str) -> str:
    """The remedy for a failure with this end of its log."""
    return next((advice for pattern, advice in REMEDIES if re.search(pattern, log_end)), OTHERWISE)


def _last_line(log: Path) -> str:
    return "".join(tail(log, 1))[:DETAIL_LENGTH]
