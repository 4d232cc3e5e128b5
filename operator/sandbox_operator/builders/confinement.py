"""What a container may do, of the agent server's and of those beside it."""

from typing import Any

from sandbox_crds.models import SandboxClass

TERMINATION_LOG = "/root/.termination-log"
"""In a directory that images have for root alone (Debian, Ubuntu, Alpine, Fedora)."""


def confinement(class_: SandboxClass, privileges: dict[str, Any] | None = None) -> dict[str, Any]:
    """Fields of a container; `privileges` take the place of none in its security context."""
    context: dict[str, Any] = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    context |= privileges or {}
    if class_.spec.pod.read_only_root_filesystem:
        context["readOnlyRootFilesystem"] = True
    return {
        # The last log lines of a crash get into the pod's status. The file that the kubelet mounts for messages cannot
        # be left out: it is on the disk of the node, for all to write, and no limit counts it. So only root gets to it.
        "terminationMessagePath": TERMINATION_LOG,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": context,
    }
