"""Memory of a proxy for each connection that does nothing."""

import subprocess
from collections.abc import Generator
from contextlib import contextmanager

from bench.proxy.servers import DIRECT, Target, beside, module

KINDS = ("http", "websocket")


def memory_each(target: Target, kind: str, count: int) -> float:
    """KiB for each of so many more connections, with what the proxy keeps towards the backend.

    A first half is opened before, so that what a process takes once does not count.
    """
    assert target.name != DIRECT
    with _open(target, kind, count // 2):
        before = target.memory()
        with _open(target, kind, count):
            return (target.memory() - before) / count


@contextmanager
def _open(target: Target, kind: str, count: int) -> Generator[None]:
    port = target.ports[kind]
    command = beside(module("clients", "idle", port, count, kind))
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        if process.stdout is None or process.stdout.readline() != "open\n":
            raise RuntimeError(f"{target.name}: {count} idle connections could not be opened")
        yield
    finally:
        process.kill()
        process.communicate()
