"""What several tests of this tier need."""

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx

from demo.release import Release

type Kubectl = Callable[..., Any]

NAMESPACE = os.environ.get("CLUSTER_TESTS_NAMESPACE", "cluster-tests")
"""Where the tests install their release; others of theirs have it as a prefix."""


@dataclass(frozen=True)
class Site:
    """One installed release, and the ways to it. `url` is its gateway's address outside of the node's network."""

    release: Release
    url: str
    gateway: httpx.Client

    def kubectl(self, *arguments: str, body: object = None) -> Any:
        """Run kubectl in the release's namespace; with `--output json` gives the parsed answer."""
        text = self.release.kubectl(*arguments, stdin=None if body is None else json.dumps(body))
        return json.loads(text) if "json" in arguments else text


def eventually[T](look: Callable[[], T], wanted: Callable[[T], bool], seconds: float = 30) -> T:
    """What `look` gives once `wanted` holds for it; fails with the last thing seen after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        seen = look()
        if wanted(seen):
            return seen
        assert time.monotonic() < deadline, f"not so within {seconds:.0f} s, last seen: {seen}"
        time.sleep(0.25)
