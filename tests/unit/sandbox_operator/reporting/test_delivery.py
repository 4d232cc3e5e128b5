"""What is said of an agent server that does not get into a pod whose image has none."""

from dataclasses import replace

import pytest

from sandbox_common.kube import ApiError
from sandbox_common.reasons import MEANINGS, Reason
from sandbox_operator.reporting import finality
from sandbox_operator.reporting.findings import examine
from sandbox_operator.reporting.refusals import refusal_of
from sandbox_operator.watching.pods import COPIER, Obstacle, Pod, decode
from unit.sandbox_operator.golden import objects
from unit.sandbox_operator.samples import IMAGE, NOW, container, on_node, ready, run, runs, waits

SERVER = "registry.example/mounted:1"
NO_FILE = (
    "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: "
    "unable to start container process: error during container init: exec: "
    '"/oh/any/bin/python": stat /oh/any/bin/python: no such file or directory'
)
NOT_PULLED = f'Back-off pulling image "{SERVER}": ErrImagePull: failed to resolve reference "{SERVER}": not found'
SAYS = f"The agent server of the image {SERVER} does not run: "
UNUSABLE, PULL = Reason.AGENT_SERVER_UNUSABLE, f"ImagePullBackOff: the image {SERVER} cannot be pulled: "


def copying(reason: str, message: str) -> Pod:
    return replace(on_node(container(waiting_reason="PodInitializing")), obstacle=Obstacle(COPIER, reason, message))


CASES: dict[str, tuple[Pod, Reason, str]] = {
    "no agent server": (waits("RunContainerError", NO_FILE), UNUSABLE, SAYS + NO_FILE),
    "no agent server, in between": (
        waits("CrashLoopBackOff", "back-off 10s restarting", restarts=1, last_run=run(128, "StartError", NO_FILE, 0)),
        UNUSABLE,
        SAYS + NO_FILE,
    ),
    "of another architecture": (
        waits(
            "CrashLoopBackOff",
            "back-off 10s restarting",
            restarts=1,
            last_run=run(255, message="exec /oh/any/bin/python: exec format error"),
        ),
        UNUSABLE,
        SAYS + "exec /oh/any/bin/python: exec format error",
    ),
    "says an entrypoint": (
        waits(
            "CrashLoopBackOff",
            "back-off 10s restarting",
            restarts=1,
            last_run=run(127, message="/entrypoint.sh: line 2: /oh/any/bin/python: not found"),
        ),
        UNUSABLE,
        SAYS + "/entrypoint.sh: line 2: /oh/any/bin/python: not found",
    ),
    "mounted so that nothing may be executed": (
        waits("RunContainerError", 'exec: "/oh/any/bin/python": permission denied'),
        UNUSABLE,
        SAYS + 'exec: "/oh/any/bin/python": permission denied',
    ),
    "cannot be pulled": (
        waits("ImagePullBackOff", NOT_PULLED),
        Reason.IMAGE_NOT_FOUND,
        f'{PULL}failed to resolve reference "{SERVER}": not found',
    ),
    "is not on the node": (
        waits("ErrImageNeverPull", f'Container image "{SERVER}" is not present with pull policy of Never'),
        Reason.IMAGE_NOT_FOUND,
        f'{PULL}Container image "{SERVER}" is not present with pull policy of Never',
    ),
    "nothing to copy": (
        copying("CrashLoopBackOff", "/usr/bin/cp: cannot stat '/any': No such file or directory\n"),
        UNUSABLE,
        SAYS + "/usr/bin/cp: cannot stat '/any': No such file or directory",
    ),
    "cannot be pulled to copy": (
        copying("ImagePullBackOff", NOT_PULLED),
        Reason.IMAGE_NOT_FOUND,
        f"The image {SERVER} of the agent server cannot be pulled: {NOT_PULLED}",
    ),
    "an older container runtime": (
        waits("CreateContainerError", 'failed to apply OCI options: failed to mkdir "": mkdir : no such file'),
        Reason.IMAGE_VOLUMES_UNSUPPORTED,
        'The node cannot mount an image: failed to apply OCI options: failed to mkdir "": mkdir : no such file',
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_image_of_the_agent_server_is_named(name: str) -> None:
    pod, reason, message = CASES[name]
    finding = examine(replace(pod, server_image=SERVER))
    assert (finding.reason, finding.message) == (reason, message)
    assert "agentServer" in (finding.remedy or MEANINGS[finding.reason].remedy)


@pytest.mark.parametrize("name", CASES)
def test_without_such_an_image_nothing_is_said_of_it(name: str) -> None:
    assert "agent server of" not in examine(CASES[name][0]).message


@pytest.mark.parametrize(
    "pod",
    [
        ready(),
        runs(NOW),
        waits("ErrImagePull", f'failed to resolve reference "{IMAGE}": not found'),
        waits("CrashLoopBackOff", restarts=2, last_run=run(1, message="no such file: /workspace/x")),
        waits("RunContainerError", 'exec: "/entrypoint.sh": stat /entrypoint.sh: no such file or directory'),
        replace(on_node(container()), obstacle=Obstacle("mesh", "CrashLoopBackOff", "cp: no")),
    ],
)
def test_other_troubles_are_those_of_the_sandbox(pod: Pod) -> None:
    assert examine(replace(pod, server_image=SERVER)) == examine(pod)


def test_its_image_is_known_however_it_is_delivered() -> None:
    for name in ("any_image", "any_image_copied"):
        [body] = [each for each in objects(name) if each["kind"] == "Pod"]
        body["metadata"] |= {"uid": "1", "creationTimestamp": "2026-11-23T12:00:00Z"}
        assert decode(body).server_image == SERVER


def test_an_api_server_without_image_volumes_refuses_the_pod() -> None:
    message = (
        'Pod "one" is invalid: [spec.volumes[3]: Required value: must specify a volume type, '
        'spec.containers[0].volumeMounts[3].name: Not found: "agent-server"]'
    )
    refusal = refusal_of(ApiError(422, "Invalid", message))
    assert refusal
    assert (refusal.reason, refusal.message) == (Reason.IMAGE_VOLUMES_UNSUPPORTED, message)


def test_a_kubelet_without_image_volumes_says_so_in_an_event() -> None:
    note = (
        "Unable to attach or mount volumes: unmounted volumes=[agent-server], unattached volumes=[]: "
        'failed to get Plugin from volumeSpec for volume "agent-server" err=no volume plugin matched'
    )
    assert finality.of_pod(note) is Reason.IMAGE_VOLUMES_UNSUPPORTED


@pytest.mark.parametrize("image", ["image will run as root", "image has non-numeric user (node), cannot verify user"])
def test_an_image_whose_user_is_refused(image: str) -> None:
    message = f'container has runAsNonRoot and {image} (pod: "one_here(1)", container: agent-server)'
    assert examine(waits("CreateContainerConfigError", message)).reason is Reason.IMAGE_USER_REFUSED
