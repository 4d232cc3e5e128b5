"""The page that tells who may connect to whom."""

from collections.abc import Mapping, Sequence
from typing import Any

from reachability.ends import doors, sources
from reachability.simulation import Matrix, simulate

_HEAD = """\
# Who may connect to whom

Generated from the chart's NetworkPolicies by `python -m reachability`, with
[cyclonus](https://github.com/mattfenwick/cyclonus), which works out what policies allow; a test compares it with what a
real API server has of them. Do not edit. It is what a network plugin does that enforces them; one that does not lets
all pass. `yes` is allowed, an empty field is not.

The release has host mode (`gateway.baseDomain`) and, beside the default profile `Internet`, one that lists a range:
`networkPolicy.egressProfiles.model={cidrs: [10.20.0.0/24], ports: [{port: 8000}]}`. A sandbox has the profile of its
SandboxClass (`egress`); `None` and names that are no profile reach nothing.

"""

_TAIL = """
- A policy closes a connection at either end. The way back of one that is open is open.
- A sandbox's ports are those that its pod declares: `http`, whichever port its client has asked for, and those of its
  `servicePorts`. Without `gateway.baseDomain` not even the gateway reaches the latter.
- Gateway and operator reach any address at the ports of `networkPolicy.apiServer`, since policies cannot name the API
  server; set `networkPolicy.apiServer.cidrs` to close the rest.
- Public addresses of nodes and of the API server are the internet: name them in `networkPolicy.sandbox.deniedCIDRs`.
- A kubelet reaches the pods of its node whatever policies say, for their probes.
- A warm pod has the policies of sandboxes from its beginning on.
"""


def page(manifests: Sequence[Mapping[str, Any]], policies: Sequence[Mapping[str, Any]]) -> str:
    """The page as Markdown, for the chart rendered with `ends.VALUES` and the NetworkPolicies that came of it."""
    return _HEAD + _table(simulate(policies, sources(manifests), doors(manifests))) + _TAIL


def _table(matrix: Matrix) -> str:
    names = list(next(iter(matrix.values())))
    rows = [f"| {to} | {' | '.join('yes' if row[name] else '' for name in names)} |" for to, row in matrix.items()]
    return "\n".join([f"| to ↓, from → | {' | '.join(names)} |", f"|---|{'---|' * len(names)}", *rows]) + "\n"
