"""Decides which of the pods that a Sandbox owns is its pod, and which are surplus after a race. Pure."""

from collections.abc import Collection

from sandbox_common.keys import MasterKeys
from sandbox_crds.models import Sandbox
from sandbox_operator.builders.owned import name_of
from sandbox_operator.pools.claim_patch import brings_volume
from sandbox_operator.reporting.status import reports
from sandbox_operator.watching.pods import Pod


def choose(
    sandbox: Sandbox, pods: Collection[Pod], keys: MasterKeys, unusable: str = ""
) -> tuple[Pod | None, tuple[Pod, ...]]:
    """The sandbox's pod, and its surplus pods, which are to be deleted.

    Its pod is the one that the status names. Otherwise it is, among those with the sandbox's key, a cold one, or else
    the one that was claimed first. While the status names no pod, another operator may choose another one, so no
    possible pod is surplus. The status decides: it is written only if the Sandbox has not changed. `unusable` is the
    UID of a pod whose volume the sandbox cannot have: it is surplus.
    """
    candidates = [pod for pod in pods if pod.claimed or pod.name == name_of(sandbox)]
    named = next((pod for pod in candidates if reports(sandbox.status, pod)), None)
    fitting = [
        pod
        for pod in candidates
        if pod.uid != unusable and _has_its_key(sandbox, pod, keys) and not _goes_with_volume(sandbox, pod)
    ]
    chosen = named or min(fitting, key=_rank, default=None)
    surplus = [
        pod
        for pod in candidates
        if pod is not chosen and not pod.deletion_requested and (named is not None or pod not in fitting)
    ]
    return chosen, tuple(surplus)


def _has_its_key(sandbox: Sandbox, pod: Pod, keys: MasterKeys) -> bool:
    """Whether the pod has the key that the sandbox has, or may still get."""
    reported = sandbox.status.key_id
    if pod.key_id and not keys.knows(pod.key_id):
        return False
    if reported and keys.knows(reported):
        return reported == pod.key_id if pod.key_id else reported in keys.key_ids(sandbox.metadata.uid)
    # A sandbox that was reported may have work on another volume.
    is_new = not (reported and brings_volume(sandbox, pod))
    return not pod.claimed or (sandbox.spec.warm_start == "Allowed" and is_new)


def _goes_with_volume(sandbox: Sandbox, pod: Pod) -> bool:
    """Whether the pod ends before the status names its volume. Nobody has used the volume, and it ends with the pod."""
    return pod.deletion_requested is not None and brings_volume(sandbox, pod)


def _rank(pod: Pod) -> tuple[bool, bool, str, str]:
    begun = pod.claimed or pod.created
    return pod.deletion_requested is not None, pod.claimed is not None, begun.isoformat(), pod.name
