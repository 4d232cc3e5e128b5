"""The Service that gives a sandbox a DNS name in the cluster."""

from sandbox_common.command import AGENT, agent_port
from sandbox_common.kube import KubeObject
from sandbox_common.kube.resources import SERVICES
from sandbox_crds.api import SANDBOX_LABEL
from sandbox_crds.models import Sandbox
from sandbox_operator.builders.owned import owned


def build_service(sandbox: Sandbox, port: int = 0) -> KubeObject:
    """A headless Service with the Sandbox's name: DNS returns the pod's address, and kube-proxy has no work.

    `port` is the port of the present pod; 0 for that of the next pod.
    """
    return owned(SERVICES, sandbox, sandbox.metadata.name) | {
        "spec": {
            "clusterIP": "None",
            "selector": {SANDBOX_LABEL: sandbox.metadata.name},
            "ports": [{"name": AGENT, "port": port or agent_port(sandbox.spec.command)}],
        }
    }
