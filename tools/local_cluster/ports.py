"""Ports of the loopback address."""

import fcntl
import os
import socket
import tempfile
from contextlib import suppress
from pathlib import Path

ADDRESS = "127.0.0.1"

_FIRST, _COUNT = 10_000, 20_000
"""Below the ports that Kubernetes gives to Services, and the kernel to clients."""
_LAST = Path(tempfile.gettempdir()) / f"openhands-sandbox-ports-{os.getuid()}"
"""The last port that any process of this user has got. So nobody gets one that another is about to listen on."""


def free_port() -> int:
    """A TCP port that nobody listens on at the moment, and that no other process gets soon."""
    with _LAST.open("a+") as last:
        fcntl.flock(last, fcntl.LOCK_EX)
        last.seek(0)
        text = last.read()
        port = int(text) if text.isdecimal() else _FIRST
        while True:
            port = _FIRST + (port + 1 - _FIRST) % _COUNT
            with socket.socket() as probe, suppress(OSError):
                probe.bind((ADDRESS, port))
                break
        last.truncate(0)
        last.write(str(port))
    return port
