"""Ports of the loopback address."""

import socket

ADDRESS = "127.0.0.1"


def free_port() -> int:
    """A TCP port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind((ADDRESS, 0))
        return probe.getsockname()[1]
