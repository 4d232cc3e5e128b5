"""Prevents core dumps, because the memory of the process contains the master key."""

import resource


def forbid() -> None:
    """Forbid core dumps of this process, and of processes that it starts from now on."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
