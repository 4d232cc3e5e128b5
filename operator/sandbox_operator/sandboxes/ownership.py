"""Which of the pods that a Sandbox owns is its pod, and which have come to it in a race and are too many: pure."""

from collections.abc import Collection

from sandbox_common.keys import MasterKeys
from sandbox_crds.models import Sandbox
from sandbox_operator.builders.owned import name_of
from sandbox_operator.reporting.status import reports
from sandbox_operator.watching.pods import Pod


def choose(sandbox: Sandbox, pods: Collection[Pod], keys: MasterKeys) -> tuple[Pod | None, tuple[Pod, ...]]:
    """The sandbox's pod, and the pods of which nobody can have been told: they are to be deleted.

    Its pod is the one that the status names; else, of those that have the sandbox's key, a cold one; else the one that
    was claimed first. As long as the status names none, another operator may decide for another one, so all that could
    be the sandbox's are left alone: the status is written only in the state in which it was seen, which settles it.
    """
    candidates = [pod for pod in pods if pod.claimed or pod.name == name_of(sandbox)]
    named = next((pod for pod in candidates if reports(sandbox.status, pod)), None)
    fitting = [pod for pod in candidates if _has_its_key(sandbox, pod, keys)]
    chosen = named or min(fitting, key=_rank, default=None)
    surplus = [
        pod
        for pod in candidates
        if pod is not chosen and not pod.deletion_requested and (named is not None or pod not in fitting)
    ]
    return chosen, tuple(surplus)


def _has_its_key(sandbox: Sandbox, pod: Pod, keys: MasterKeys) -> bool:
    """Whether the pod holds the key that the sandbox has, or may still get."""
    told = sandbox.status.key_id
    if pod.key_id and not keys.knows(pod.key_id):
        return False
    if told and keys.knows(told):
        return told == pod.key_id if pod.key_id else told in keys.key_ids(sandbox.metadata.uid)
    return not pod.claimed or sandbox.spec.warm_start == "Allowed"


def _rank(pod: Pod) -> tuple[bool, bool, str, str]:
    begun = pod.claimed or pod.created
    return pod.deletion_requested is not None, pod.claimed is not None, begun.isoformat(), pod.name
