"""Pods that are not made, whatever the API server would say of them."""

from sandbox_crds.models import SandboxClass, SandboxPoolSpec, SandboxSpec


def refused(spec: SandboxSpec | SandboxPoolSpec, class_: SandboxClass) -> str:
    """Why there is no pod for this spec, in whole sentences; "" when there may be."""
    if not class_.spec.egress:
        # What else the class said to restrict its pods is lost as well.
        return (
            f"SandboxClass {spec.class_name} has no egress: the installed CustomResourceDefinition is older than the "
            "operator and drops fields that restrict pods. Apply the definitions of the operator's release."
        )
    if class_.spec.allows_groups(spec.run_as_group, spec.fs_group):
        return ""
    field = "fsGroup" if spec.fs_group == 0 else "runAsGroup"
    return f"{field} 0, the root group, needs pod.allowRootGroup of SandboxClass {spec.class_name}."
