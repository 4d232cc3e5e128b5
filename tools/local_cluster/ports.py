"""Ports of the loopback address."""

import secrets
import socket
from contextlib import suppress

ADDRESS = "127.0.0.1"

_FIRST, _COUNT = 10_000, 20_000
"""Below the ports that Kubernetes gives to Services, and the kernel to clients: nobody takes one before it is used."""


def free_port() -> int:
    """A TCP port that nobody listens on at the moment."""
    while True:
        port = _FIRST + secrets.randbelow(_COUNT)
        with socket.socket() as probe, suppress(OSError):
            probe.bind((ADDRESS, port))
            return port
