"""Asks cyclonus which connections NetworkPolicies allow."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from local_cluster.build import binary
from reachability.ends import Door, Peer

type Matrix = dict[str, dict[str, bool]]
"""Whether a connection is allowed, by the name of its door and that of its source."""


def simulate(policies: Sequence[Mapping[str, Any]], sources: Sequence[Peer], doors: Sequence[Door]) -> Matrix:
    """What these NetworkPolicies allow. cyclonus must have been built."""
    pairs = [(door, source) for door in doors for source in sources]
    asked = {"policies": policies, "connections": [door.from_(source) for door, source in pairs]}
    done = subprocess.run([str(binary("cyclonus"))], input=json.dumps(asked), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    matrix: Matrix = {door.name: {} for door in doors}
    for (door, source), allowed in zip(pairs, json.loads(done.stdout), strict=True):
        matrix[door.name][source.name] = allowed
    return matrix
