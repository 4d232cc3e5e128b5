"""No memory of this process in a file: it holds the master key."""

import resource


def forbid() -> None:
    """Write no core dump when this process crashes, nor when one does that it starts from now on."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
