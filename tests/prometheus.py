"""Prometheus itself, from Debian's package: promtool, and a server that scrapes real processes."""

import shutil
from pathlib import Path

from local_cluster.packages import unpack
from local_cluster.paths import cache_dir
from local_cluster.progress import Progress


def program(name: str) -> Path:
    """`prometheus` or `promtool`: that of the machine, else that of Debian's package, which is not installed for it."""
    installed = shutil.which(name)
    files = None if installed else unpack("prometheus", cache_dir() / "apt.log", Progress())
    return files / "usr" / "bin" / name if files else Path(str(installed))
