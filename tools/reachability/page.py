"""The page with all connections that the policies allow."""

from collections.abc import Mapping, Sequence
from typing import Any

from reachability.ends import doors, sources
from reachability.simulation import Matrix, simulate

_HEAD = """\
# Network

Generated from the chart's NetworkPolicies by `python -m reachability`, with
[cyclonus](https://github.com/mattfenwick/cyclonus), which computes what policies allow. Do not edit. Tests compare
the table with the policies on a real API server, and with real connections on the local cluster, where kube-router
enforces the policies: each field without IPv6, by the address of the pod, by that of its Service and by its name.

The table shows which connections are possible if the network plugin enforces the policies: `yes` is allowed, an empty
field is not. If the plugin does not enforce them, all connections are possible.

This release uses host mode (`gateway.baseDomain`) and, beside the default profile `Internet`, a profile with a range:
`networkPolicy.egressProfiles.model={cidrs: [10.20.0.0/24], ports: [{port: 8000}]}`. A sandbox has the profile of its
SandboxClass (`egress`). With `None`, or a name that is not a profile, it reaches nothing.

"""

_TAIL = """
- A policy at either end can close a connection. Answers on an open connection are always allowed.
- A sandbox's ports are those that its pod declares: `http`, which is the port that its client chose, and those of its
  `servicePorts`. Without `gateway.baseDomain`, nobody reaches those of its `servicePorts`.
- Gateway and operator reach any address at the ports of `networkPolicy.apiServer`, because policies cannot select the
  API server. Set `networkPolicy.apiServer.cidrs` to close other addresses.
- Public addresses of nodes and of the API server count as internet. Name them in `networkPolicy.sandbox.deniedCIDRs`.
- A kubelet always reaches the pods of its node, for their probes.
- A warm pod has the policies of sandboxes from the beginning.
- Plugins differ. kube-router 2.1 applies the ingress rules of a policy also to connections between two pods that this
  policy selects: it allows a gateway to reach a gateway, and an operator to reach an operator's port of probes and
  metrics. It filters a pod's connections only after the pod has started: in five pods that connected at once, up to
  0.12 s later.
"""


def page(manifests: Sequence[Mapping[str, Any]], policies: Sequence[Mapping[str, Any]]) -> str:
    """The page as Markdown, for the chart rendered with `ends.VALUES` and its NetworkPolicies."""
    return _HEAD + _table(simulate(policies, sources(manifests), doors(manifests))) + _TAIL


def _table(matrix: Matrix) -> str:
    names = list(next(iter(matrix.values())))
    rows = [f"| {to} | {' | '.join('yes' if row[name] else '' for name in names)} |" for to, row in matrix.items()]
    return "\n".join([f"| to ↓, from → | {' | '.join(names)} |", f"|---|{'---|' * len(names)}", *rows]) + "\n"
