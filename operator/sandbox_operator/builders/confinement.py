"""Restrictions of the containers of a pod, of the agent server and of side containers alike."""

from typing import Any

from sandbox_crds.models import SandboxClass

TERMINATION_LOG = "/root/.termination-log"
"""In a directory that only root can access in the usual images (Debian, Ubuntu, Alpine, Fedora)."""


def confinement(class_: SandboxClass, privileges: dict[str, Any] | None = None) -> dict[str, Any]:
    """Fields of a container. `privileges` replace entries of its security context."""
    context: dict[str, Any] = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    context |= privileges or {}
    if class_.spec.pod.read_only_root_filesystem:
        context["readOnlyRootFilesystem"] = True
    return {
        # The last log lines of a crash get into the pod's status. The kubelet always mounts a file for messages. It is
        # on the node's disk, writable by all, and no limit counts it. In this directory, only root can reach it.
        "terminationMessagePath": TERMINATION_LOG,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": context,
    }
