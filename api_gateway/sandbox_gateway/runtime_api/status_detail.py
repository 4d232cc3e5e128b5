"""`status_detail`: what is wrong with a sandbox, in the words that the OpenHands app looks for. Pure.

The app (openhands-ai 1.64) searches the text for these words, and explains each to its user:
`ImagePullBackOff`, `ErrImagePull`, `CreateContainerConfigError`, `CreateContainerError`, `untolerated taint`,
`node affinity`, `unbound`, `Insufficient cpu` (or `memory`, `ephemeral-storage`, `pods`), and
`runtime_ingress:<status>`.
"""

import re

from sandbox_common.reasons import Reason
from sandbox_common.sandboxes.view import View

_TOO_MANY_PODS = "Too many pods"
"""The scheduler's words for a node whose `pods` are used up."""
_OUT_OF = re.compile(r"OutOf(cpu|memory|ephemeral-storage|pods)\b")
"""The kubelet's words for a pod that it does not admit."""


def status_detail(seen: View) -> str | None:
    """Reason and message of the condition; None when nothing is wrong."""
    if seen.refused:
        return f"runtime_ingress:{seen.refused}: {seen.message}"
    if seen.normal:
        return None
    missing = [words for words in _other_words(seen) if words not in seen.message]
    return f"{seen.reason} ({', '.join(missing)}): {seen.message}" if missing else seen.summary


def _other_words(seen: View) -> list[str]:
    """The app's words for causes that Kubernetes or the operator names differently."""
    words = [f"Insufficient {resource}" for resource in _OUT_OF.findall(seen.message)]
    if _TOO_MANY_PODS in seen.message:
        words.append("Insufficient pods")
    if seen.reason == Reason.VOLUME_NOT_BOUND:
        words.append("unbound")
    return words
