"""How many connections the file descriptors of this process allow."""

import resource

RESERVE = 128
"""Descriptors for everything but clients: the API server, probes, logs, and connections that are being refused."""
_PER_CLIENT = 4
"""Descriptors of a client: its own, up to two behind it (this process has both ends of a call of the Runtime API), and
an idle one in the pool, from an earlier request."""
_NO_LIMIT = 1 << 20
MOST = 16_384
"""The most connections, even if more files may be open: each also takes memory, from 3 KiB up."""
MOST_TLS = 4096
"""The same with TLS, where an idle one takes 46 KiB."""


def raise_limit() -> int:
    """Raise this process's limit of descriptors to its maximum; returns that number."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _NO_LIMIT if hard == resource.RLIM_INFINITY else hard
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted if soft == resource.RLIM_INFINITY else soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted


def connections(limit: int, *, tls: bool = False) -> int:
    """How many connections of clients this many descriptors allow; at least one, at most MOST, or MOST_TLS."""
    return min(max(1, (limit - RESERVE) // _PER_CLIENT), MOST_TLS if tls else MOST)
