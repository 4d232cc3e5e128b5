"""The annotation that lets cluster autoscalers move free warm pods, and no others."""

from sandbox_crds.models import SandboxClass

SAFE_TO_EVICT = "cluster-autoscaler.kubernetes.io/safe-to-evict"
"""Without it, the Cluster Autoscaler takes no pod with directories of its own from a node, be it in use or not."""


def eviction_annotation(class_: SandboxClass, *, free: bool) -> dict[str, str]:
    """The annotation of a pod that is `free`, or a sandbox's; none where the class has its own for all pods.

    A sandbox that has a pod counts as in use: idle ones are suspended, and have none.
    """
    return {} if SAFE_TO_EVICT in class_.spec.pod.annotations else {SAFE_TO_EVICT: "true" if free else "false"}
