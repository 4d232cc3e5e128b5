"""Which failures are final, from the messages of kubelets, container runtimes and volume controllers. Pure.

Kubernetes retries everything. A failure is final only if its message says for certain that the next attempt must fail
like the last one. All others may pass.

Sources: Kubernetes 1.36 (pkg/kubelet/images, pkg/controller/volume/persistentvolume), containerd 2.4 (core/remotes,
internal/cri), CRI-O 1.33 with containers/image 5, runc 1.3, crun 1.20, gVisor.
"""

import re

from sandbox_common.reasons import Reason

_WAITS = {
    "RegistryUnavailable": Reason.REGISTRY_UNAVAILABLE,
    "ErrImageNeverPull": Reason.IMAGE_NOT_FOUND,
    "SignatureValidationFailed": Reason.IMAGE_PULL_DENIED,
    "InvalidImageName": Reason.INVALID_IMAGE_NAME,
}

IMAGE_WAITS = frozenset({"ImagePullBackOff", "ErrImagePull", "ImageInspectError", *_WAITS})
"""All reasons of a container that waits for an image."""

PASSING_PULLS = frozenset({Reason.IMAGE_PULL_BACK_OFF, Reason.REGISTRY_UNAVAILABLE, Reason.REGISTRY_RATE_LIMITED})
"""Results of `of_image` after which the next attempt may succeed."""

_NAMES = re.compile(r'"(?:[^"\\]|\\.)*"|\S*/\S*')
"""Quoted text, references and URLs: names that people have chosen, which may contain any word."""

_OF_RUNTIME = re.compile(
    r"code = (?:Unavailable|DeadlineExceeded|Canceled) desc = (?!failed to pull)|\btls: |x509|cancell?ed"
)
"""The container runtime itself, or its trust in a certificate."""
_RATE_LIMITED = re.compile(r"\b429\b|too ?many ?requests", re.IGNORECASE)
_UNAVAILABLE = re.compile(
    r"\b(?:408|5\d\d)\b|time-?out|timed out|deadline exceeded|connection (?:reset|refused)|no such host"
    r"|server misbehaving|failure in name resolution|\bEOF\b|unreachable|no route to host|broken pipe",
    re.IGNORECASE,
)
_MALFORMED = re.compile(
    r"invalid reference format|failed to parse image reference|must be lowercase|could ?n[o']t parse image",
    re.IGNORECASE,
)
_CREDENTIALS_REFUSED = re.compile(
    r"unable to retrieve auth token: invalid\b|incorrect username or password|failed to fetch oauth token\b.*\b401\b"
    # A registry that has got no credentials asks for some, and containerd then says that it has none.
    r"|failed to resolve (?:reference|image)\b[\s:]*unexpected status from \w+ request to\s+401\b",
    re.DOTALL,
)
_DENIED = re.compile(
    r"(?:pull )?access denied|access to the resource is denied|\bunauthorized\b|\b401\b|\b403\b|authorization failed"
    r"|insufficient_scope|no basic auth credentials|authentication required|(?<!permission )\bdenied:",
    re.IGNORECASE,
)
_NOT_FOUND = re.compile(
    r"failed to resolve (?:reference|image)\b.*\bnot found|manifest unknown|name unknown|repository name not known"
    r"|no match for platform|no image found in (?:image index|manifest list)|\bnot found: manifest",
    re.DOTALL,
)
_VERDICTS = (
    # What may pass comes first: the next attempt may get another answer, or another registry's.
    (_RATE_LIMITED, Reason.REGISTRY_RATE_LIMITED),
    (_OF_RUNTIME, Reason.IMAGE_PULL_BACK_OFF),
    (_UNAVAILABLE, Reason.REGISTRY_UNAVAILABLE),
    (_MALFORMED, Reason.INVALID_IMAGE_NAME),
    (_CREDENTIALS_REFUSED, Reason.PULL_CREDENTIALS_REFUSED),
    (_DENIED, Reason.IMAGE_PULL_DENIED),
    (_NOT_FOUND, Reason.IMAGE_NOT_FOUND),
)

OF_IMAGE = frozenset({Reason.IMAGE_PULL_BACK_OFF, *_WAITS.values(), *(reason for _, reason in _VERDICTS)})
"""All results of `of_image`."""

IMAGE_TROUBLES = OF_IMAGE - {Reason.INVALID_IMAGE_NAME}
"""Results of `of_image` for a well-formed reference."""

_NO_PROGRAM = re.compile(
    r"(?<!fork/)\bexec(?:utable)?\b.*(?:not found|no such file|permission denied|exec format error|is a directory)"
    r"|exec format error|chdir to cwd",
    re.IGNORECASE | re.DOTALL,
)
_NO_HANDLER = re.compile(r"no runtime for \S+ is configured|failed to find runtime handler")
_NOT_NON_ROOT = re.compile(r"container has runAsNonRoot and image ")
_NO_IMAGE_VOLUMES = re.compile(r'volume "agent-server".*no volume plugin matched', re.DOTALL)
"""Said by kubelets that have the feature switched off."""
_NO_STORAGE_CLASS = re.compile(r"storageclass\.storage\.k8s\.io \S+ not found")


def of_image(waiting_reason: str, message: str) -> Reason:
    """The reason for a container that waits for its image, from the kubelet's reason and message."""
    if known := _WAITS.get(waiting_reason):
        return known
    words = _NAMES.sub(" ", message)
    return next((reason for pattern, reason in _VERDICTS if pattern.search(words)), Reason.IMAGE_PULL_BACK_OFF)


def of_command(message: str) -> Reason:
    """The reason for a container whose process could not be started."""
    return Reason.COMMAND_CANNOT_RUN if _NO_PROGRAM.search(message) else Reason.CREATE_CONTAINER_ERROR


def of_container(message: str) -> Reason:
    """The reason for a container that could not be created."""
    return Reason.IMAGE_USER_REFUSED if _NOT_NON_ROOT.search(message) else Reason.CREATE_CONTAINER_ERROR


def of_pod(message: str) -> Reason:
    """The reason for a pod whose volumes, network or runtime could not be set up."""
    if _NO_IMAGE_VOLUMES.search(message):
        return Reason.IMAGE_VOLUMES_UNSUPPORTED
    return Reason.RUNTIME_HANDLER_NOT_FOUND if _NO_HANDLER.search(message) else Reason.CREATE_CONTAINER_ERROR


def of_claim(message: str) -> Reason:
    """The reason for a volume claim that is not bound."""
    return Reason.STORAGE_CLASS_NOT_FOUND if _NO_STORAGE_CLASS.search(message) else Reason.VOLUME_NOT_BOUND
