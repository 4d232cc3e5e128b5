"""What is said of an agent server that does not get into a pod whose image has none."""

from dataclasses import replace

import pytest

from sandbox_common.kube import ApiError
from sandbox_common.reasons import MEANINGS, Reason
from sandbox_operator.reporting import delivery, finality
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


MAY_PASS = ("No space left on device", "Disk quota exceeded", "Input/output error", "Cannot allocate memory")
NO_COPY = "/usr/bin/cp: cannot stat '/any': No such file or directory"


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
            last_run=run(1, message="exec /oh/any/bin/python: exec format error"),
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
    "nothing to copy with": (
        copying("RunContainerError", NO_FILE.replace("/oh/any/bin/python", "/usr/bin/cp")),
        UNUSABLE,
        SAYS + NO_FILE.replace("/oh/any/bin/python", "/usr/bin/cp"),
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
        *(copying("CrashLoopBackOff", f"/usr/bin/cp: error writing '/oh/any/x': {what}") for what in MAY_PASS),
        copying("CrashLoopBackOff", f"{NO_COPY}\n/usr/bin/cp: cannot create directory '/oh/x': {MAY_PASS[0]}"),
        copying("RunContainerError", 'exec: "/usr/bin/cp": context deadline exceeded'),
        *(
            waits("CrashLoopBackOff", restarts=1, last_run=run(code, reason, log))
            for code, reason in ((137, "OOMKilled"), (1, "Error"), (127, "Error"))
            for log in ("/oh/any/path/bash: line 1: node: command not found", 'failed to mkdir ""')
        ),
        waits("CrashLoopBackOff", restarts=1, last_run=run(137, "OOMKilled", "/oh/any/bin/python: not found")),
    ],
)
def test_other_troubles_are_those_of_the_sandbox(pod: Pod) -> None:
    assert examine(replace(pod, server_image=SERVER)) == examine(pod)


ASKED = f'failed to resolve reference "{SERVER}": unexpected status from HEAD request to https://registry.example/v2/: '


@pytest.mark.parametrize("status", ["401 Unauthorized", "429 Too Many Requests", "503 Service Unavailable"])
@pytest.mark.parametrize("pod", [waits("ImagePullBackOff"), copying("ImagePullBackOff", "")])
def test_its_registry_may_give_any_answer(pod: Pod, status: str) -> None:
    if pod.obstacle:
        pod = replace(pod, obstacle=replace(pod.obstacle, message=ASKED + status))
    elif pod.container:
        pod = replace(pod, container=replace(pod.container, waiting_message=ASKED + status))
    finding = examine(replace(pod, server_image=SERVER))
    assert SERVER in finding.message
    assert status in finding.message


@pytest.mark.parametrize("reason", sorted(finality.IMAGE_WAITS))
def test_it_is_named_for_each_reason_to_wait_for_an_image(reason: str) -> None:
    for pod in (waits(reason, f"image pull failed for {SERVER} because of x"), copying(reason, "any words")):
        finding = examine(replace(pod, server_image=SERVER))
        assert finding.reason is finality.of_image(reason, "any words")
        assert SERVER in finding.message
        assert finding.remedy == delivery.REMEDIES[finding.reason]


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ("team/agent", 'failed to resolve reference "docker.io/team/agent:latest": not found'),
        ("agent:2", "failed to resolve image: docker.io/library/agent:2: not found"),
        ("index.docker.io/team/agent:1", "initializing source docker://docker.io/team/agent:1: manifest unknown"),
        ("[::1]:5000/agent:1", 'Back-off pulling image "[::1]:5000/agent:1"'),
        ("no reference", 'couldn\'t parse image name "no reference": invalid reference format'),
        ("x/y:1", '[failed to resolve image: docker.io/x/y:1: not found, failed to pull "docker.io/x/y:1"]'),
    ],
)
def test_its_image_is_known_in_any_spelling(image: str, message: str) -> None:
    pod = replace(waits("ErrImagePull", message), server_image=image)
    assert examine(pod).message.startswith(f"ImagePullBackOff: the image {image} ")
    own = examine(replace(waits("ErrImagePull", message), image=image, server_image=SERVER))
    assert own.remedy == ""
    assert examine(replace(pod, image=f"{image}", server_image=image)).remedy == ""


def test_each_trouble_with_its_image_has_a_remedy() -> None:
    assert delivery.REMEDIES.keys() == finality.OF_IMAGE
    assert all("agentServer.image" in remedy for remedy in delivery.REMEDIES.values())


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
