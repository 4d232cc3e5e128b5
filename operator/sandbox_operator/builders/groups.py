"""Groups that a pod may not have."""

from sandbox_crds.models import SandboxClass, SandboxPoolSpec, SandboxSpec


def forbidden_group(spec: SandboxSpec | SandboxPoolSpec, class_: SandboxClass) -> str:
    """Why there is no pod with the groups of this spec, in one sentence; "" when there may be."""
    if class_.spec.allows_groups(spec.run_as_group, spec.fs_group):
        return ""
    field = "fsGroup" if spec.fs_group == 0 else "runAsGroup"
    return f"{field} 0, the root group, needs pod.allowRootGroup of SandboxClass {spec.class_name}."
