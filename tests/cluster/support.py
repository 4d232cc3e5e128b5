"""What several tests of this tier need."""

import os
import time
from collections.abc import Callable
from typing import Any

type Kubectl = Callable[..., Any]

PATIENCE = 120.0
"""Seconds that whatever must come may take on a busy machine. A wait that succeeds takes no longer because of it."""

NAMESPACES = os.environ.get("CLUSTER_TESTS_NAMESPACE", "cluster-tests")
"""What the names of all namespaces of a run begin with."""
NAMESPACE = "-".join(filter(None, (NAMESPACES, os.environ.get("PYTEST_XDIST_WORKER"))))
"""Where the tests of this process install their release; others of theirs have it as a prefix."""


def eventually[T](look: Callable[[], T], wanted: Callable[[T], bool], seconds: float = PATIENCE) -> T:
    """What `look` gives once `wanted` holds for it; fails with the last thing seen after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        seen = look()
        if wanted(seen):
            return seen
        assert time.monotonic() < deadline, f"not so within {seconds:.0f} s, last seen: {seen}"
        time.sleep(0.25)
