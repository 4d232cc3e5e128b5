"""Pods that the operator itself refuses to make."""

from sandbox_common.command import options
from sandbox_crds.models import SandboxClass, SandboxPoolSpec, SandboxSpec


def refused(spec: SandboxSpec | SandboxPoolSpec, class_: SandboxClass) -> str:
    """Why the operator makes no pod for this spec, in whole sentences; "" if it does."""
    if not class_.spec.egress:
        # The class's other restrictions are lost as well.
        return (
            f"SandboxClass {spec.class_name} has no egress: the installed CustomResourceDefinition is older than the "
            "operator and drops fields that restrict pods. Apply the definitions of the operator's release."
        )
    if class_.spec.agent_server and options(spec.command) is None:
        return (
            f"SandboxClass {spec.class_name} starts the agent server of its own image (agentServer), so the command "
            "must be empty or that of an agent server, such as /usr/local/bin/openhands-agent-server --port 60000."
        )
    if class_.spec.allows_groups(spec.run_as_group, spec.fs_group):
        return ""
    field = "fsGroup" if spec.fs_group == 0 else "runAsGroup"
    return f"{field} 0, the root group, needs pod.allowRootGroup of SandboxClass {spec.class_name}."
