"""The CustomResourceDefinitions of the Gateway API, from its own Go module."""

import subprocess
import time

from local_cluster.build import binary, module_source
from local_cluster.control_plane import ControlPlane
from local_cluster.kubectl import environment

_READY_SECONDS = 60
_HTTP_ROUTES = "gateway.networking.k8s.io_httproutes.yaml"


def install_gateway_api(control_plane: ControlPlane) -> None:
    """HTTPRoutes of the standard channel, ready for use."""
    crd = module_source("gateway-api", "sigs.k8s.io/gateway-api") / "config" / "crd" / "standard" / _HTTP_ROUTES
    kubectl, env = str(binary("kubectl")), environment(control_plane.kubeconfig, "127.0.0.1")
    subprocess.run([kubectl, "apply", "--server-side", "-f", str(crd)], env=env, check=True, capture_output=True)
    # `kubectl wait` fails at once as long as the definition has no conditions at all, which the file says it has not.
    deadline = time.monotonic() + _READY_SECONDS
    while subprocess.run([kubectl, "get", "httproutes"], env=env, capture_output=True).returncode:
        assert time.monotonic() < deadline, "the API server does not serve HTTPRoutes"
        time.sleep(0.1)
