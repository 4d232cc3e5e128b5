"""Why the agent server does not get into a pod whose image has none: what the class's `agentServer` has to do with it.

Sources: Kubernetes 1.36 (pkg/kubelet/kuberuntime, pkg/volume), containerd 2.0 and 2.4 (internal/cri/server), runc 1.3.
"""

import re
from dataclasses import dataclass

from sandbox_common.reasons import Reason
from sandbox_crds.image_references import Reference
from sandbox_operator.reporting import finality
from sandbox_operator.reporting.redaction import tail
from sandbox_operator.watching.pods import COPIER, START_ERROR, Pod, Run

_WORDS_CHARACTERS = 1024

REMEDIES = {
    Reason.IMAGE_PULL_BACK_OFF: "Check whether the nodes can reach the registry of agentServer.image.",
    Reason.REGISTRY_UNAVAILABLE: (
        "If it lasts, check whether the registry of agentServer.image works and whether the nodes can reach it."
    ),
    Reason.REGISTRY_RATE_LIMITED: (
        "If it lasts, pull agentServer.image with credentials that allow more, by a Secret in the SandboxClass's "
        "pod.imagePullSecrets, or use a mirror of the registry."
    ),
    Reason.PULL_CREDENTIALS_REFUSED: (
        "Correct the Secret in the SandboxClass's pod.imagePullSecrets, or the pull Secret of the sandbox's owner, "
        "for the registry of agentServer.image."
    ),
    Reason.IMAGE_NOT_FOUND: "Correct agentServer.image of the SandboxClass, or push the image.",
    Reason.IMAGE_PULL_DENIED: (
        "Check agentServer.image of the SandboxClass. A private registry needs a Secret in its pod.imagePullSecrets."
    ),
    Reason.INVALID_IMAGE_NAME: "Correct agentServer.image of the SandboxClass.",
}
"""What helps if it is the agent server's image that cannot be pulled: for each result of `finality.of_image`."""
_NAMES = re.compile(r'[^\s"\\,;()]+')
"""Words of a message that may be references: kubelets and container runtimes quote some of them."""

_CANNOT_RUN = re.compile(
    r"/oh/any/\S*: (?:no such file|exec format error|permission denied|is a directory|.*not found)"
    r"|/oh/any/\S*\"?: (?:stat|permission)",
    re.IGNORECASE,
)
_NOT_EXECUTED = re.compile(
    r"/oh/any/bin/python: (?:.*: )?(?:no such file|exec format error|permission denied|is a directory|.*not found)",
    re.IGNORECASE,
)
"""In the log of a container that another program starts, such as a shell or the init process of runc."""
_NOT_STARTED = frozenset({126, 127, 255})
"""Exit codes of these programs. An agent server that has run may log the same words, but ends otherwise."""
_WHOLE_LOG = re.compile(r"\s*exec /oh/any/bin/python: [^\n]*\s*")
"""All that is logged if the init process of runc fails. It ends with 1 then, as an agent server may."""
_OF_COPY = re.compile(r"/usr/bin/cp\b|^cp: ")
_CANNOT_COPY = re.compile(
    r"no such file|not found|exec format error|permission denied|operation not permitted|is a directory|not a directory"
    r"|(?:unrecognized|invalid) option",
    re.IGNORECASE,
)
"""What cannot pass by itself, unlike a full disk."""
_NO_IMAGE_VOLUMES = re.compile(r'failed to mkdir ""')
"""What containerd before 2.1 makes of an image volume: a mount without a source."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """A reason for the condition `Ready`, its evidence, and what helps in this case; "" for what the reason says."""

    reason: Reason
    message: str
    remedy: str = ""


def trouble(pod: Pod) -> Trouble | None:
    """What keeps the agent server from the pod; None if nothing does, or the pod's image has one."""
    if not pod.server_image:
        return None
    return _of_copier(pod) or _of_container(pod)


def is_awaited(pod: Pod) -> bool:
    """Whether the container waits for the agent server's image, and not for its own."""
    image, container = pod.server_image, pod.container
    if not image or container is None:
        return False
    wanted = _reference(image)
    if wanted == _reference(pod.image):
        return False
    said = container.waiting_message
    # Kubelets repeat the text of the pod; container runtimes have a spelling of their own.
    return f'"{image}"' in said or any(_reference(name) == wanted for name in _NAMES.findall(said))


def _of_copier(pod: Pod) -> Trouble | None:
    obstacle = pod.obstacle
    if obstacle is None or obstacle.container != COPIER:
        return None
    if obstacle.reason in finality.IMAGE_WAITS:
        return _of_image(pod, obstacle.reason, obstacle.message)
    lines = [line for line in obstacle.message.splitlines() if _OF_COPY.search(line)]
    return _unusable(pod, obstacle.message) if lines and all(map(_CANNOT_COPY.search, lines)) else None


def _of_container(pod: Pod) -> Trouble | None:
    container = pod.container
    if container is None or container.running_since is not None:
        return None
    run = container.last_run
    if run and run.reason != START_ERROR and _was_not_executed(run):
        return _unusable(pod, run.message)
    # The message of a run that had begun is the agent server's log.
    for said in (container.waiting_message, run.message if run and run.reason == START_ERROR else ""):
        if _CANNOT_RUN.search(said):
            return _unusable(pod, said)
        if _NO_IMAGE_VOLUMES.search(said):
            return Trouble(Reason.IMAGE_VOLUMES_UNSUPPORTED, f"The node cannot mount an image: {_cut(said)}")
    return None


def _was_not_executed(run: Run) -> bool:
    ended = run.exit_code in _NOT_STARTED or _WHOLE_LOG.fullmatch(run.message) is not None
    return ended and _NOT_EXECUTED.search(run.message) is not None


def _of_image(pod: Pod, reason: str, message: str) -> Trouble:
    found = finality.of_image(reason, message)
    what = f"The image {_cut(pod.server_image)} of the agent server cannot be pulled"
    return Trouble(found, f"{what}: {_cut(message)}", REMEDIES[found])


def _reference(text: str) -> str:
    """The one spelling of an image; the text itself if it is no reference."""
    text = text.removeprefix("docker://").rstrip(":.]")
    try:
        return str(Reference.parse(text))
    except ValueError:
        return text


def _unusable(pod: Pod, message: str) -> Trouble:
    what = f"The agent server of the image {_cut(pod.server_image)} does not run"
    return Trouble(Reason.AGENT_SERVER_UNUSABLE, f"{what}: {_cut(message)}")


def _cut(text: str) -> str:
    return tail(text, _WORDS_CHARACTERS)
