"""How many connections the file descriptors of this process allow."""

import resource

RESERVE = 128
"""For all but clients: the API server, probes, logs, and the connections that are being refused."""
_PER_CLIENT = 4
"""A client's own, up to two behind it (a call of the Runtime API has both ends in this process), and an idle one that
an earlier request has left in the pool."""
_NO_LIMIT = 1 << 20
MOST = 16_384
"""Connections, however many files may be open: each takes memory, too, from 3 KiB up."""
MOST_TLS = 4096
"""The same with TLS: each takes 46 KiB while it is idle."""


def raise_limit() -> int:
    """Allow this process as many descriptors as it may allow itself; gives the number."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _NO_LIMIT if hard == resource.RLIM_INFINITY else hard
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted if soft == resource.RLIM_INFINITY else soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted


def connections(limit: int, *, tls: bool = False) -> int:
    """How many connections of clients so many descriptors allow; at least one, at most MOST, or MOST_TLS."""
    return min(max(1, (limit - RESERVE) // _PER_CLIENT), MOST_TLS if tls else MOST)
