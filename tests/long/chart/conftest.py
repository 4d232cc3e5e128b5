"""The API server and the namespaces of the control-plane tier."""

from control_plane.helm.conftest import bare, cluster

__all__ = ["bare", "cluster"]
