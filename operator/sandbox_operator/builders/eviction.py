"""The annotation that lets cluster autoscalers move free warm pods, and no others."""

from sandbox_crds.models import SandboxClass

SAFE_TO_EVICT = "cluster-autoscaler.kubernetes.io/safe-to-evict"
"""Without it, the Cluster Autoscaler moves no pod with emptyDir volumes, whether it is in use or not."""


def eviction_annotation(class_: SandboxClass, *, free: bool) -> dict[str, str]:
    """The annotation of a `free` pod, or of a sandbox's pod; none if the class itself sets it.

    A sandbox with a pod counts as in use, because idle sandboxes are suspended and have no pod.
    """
    return {} if SAFE_TO_EVICT in class_.spec.pod.annotations else {SAFE_TO_EVICT: "true" if free else "false"}
