"""What a pod's state means."""

from dataclasses import replace
from datetime import timedelta

import pytest

from sandbox_common.reasons import Reason
from sandbox_operator.reporting.findings import VOLUME_OF_NODES, examine
from sandbox_operator.watching.pods import Obstacle, Pod
from unit.sandbox_operator.samples import (
    IMAGE,
    LATER,
    NOW,
    SOON,
    condition,
    container,
    on_node,
    pod,
    ready,
    run,
    runs,
    waits,
)

NOT_FOUND = f'rpc error: code = NotFound desc = failed to resolve reference "{IMAGE}": {IMAGE}: not found'
BUSY = f'failed to resolve reference "{IMAGE}": unexpected status from HEAD request to https://x/y: 503 Unavailable'
UNBOUND = "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. not found"
SEVERAL = "0/3 nodes are available: 1 Insufficient memory, 2 node(s) didn't find available persistent volumes to bind."
ELSEWHERE = "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) didn't match PersistentVolume's node affinity."
MESH_UNREADY = "containers with unready status: [mesh]"
MESH_INIT = Obstacle("mesh-init", "CrashLoopBackOff", "iptables: Permission denied\n")
SILENT = on_node(
    container(waiting_reason="", running_since=NOW, ready=True), ready=condition(False, since=LATER), ip="10.244.0.7"
)
CASES: dict[str, tuple[Pod, Reason, str]] = {
    "answers": (ready(), Reason.READY, ""),
    "fits no node": (
        pod(scheduled=condition(False, "Unschedulable", "0/1 nodes are available: 1 Insufficient cpu.")),
        Reason.UNSCHEDULABLE,
        "The pod cannot be scheduled: 0/1 nodes are available: 1 Insufficient cpu.",
    ),
    "has a claim that nobody binds": (
        pod(scheduled=condition(False, "Unschedulable", UNBOUND)),
        Reason.VOLUME_NOT_BOUND,
        f"The pod cannot be scheduled: {UNBOUND}",
    ),
    "has no claim": (
        pod(scheduled=condition(False, "Unschedulable", 'persistentvolumeclaim "one" not found')),
        Reason.VOLUME_NOT_BOUND,
        'The pod cannot be scheduled: persistentvolumeclaim "one" not found',
    ),
    "has a claim that was not bound in time": (
        pod(scheduled=condition(False, "SchedulerError", "binding volumes: context deadline exceeded")),
        Reason.VOLUME_NOT_BOUND,
        "The pod cannot be scheduled: binding volumes: context deadline exceeded",
    ),
    "fits no node for several causes": (
        pod(scheduled=condition(False, "Unschedulable", SEVERAL)),
        Reason.UNSCHEDULABLE,
        f"The pod cannot be scheduled: {SEVERAL}",
    ),
    "has its volume on a full node": (
        pod(scheduled=condition(False, "Unschedulable", ELSEWHERE)),
        Reason.UNSCHEDULABLE,
        f"The pod cannot be scheduled: {ELSEWHERE}",
    ),
    "is held back from scheduling": (
        pod(scheduled=condition(False, "SchedulingGated")),
        Reason.UNSCHEDULABLE,
        "The pod cannot be scheduled: SchedulingGated",
    ),
    "waits for a node": (pod(), Reason.PENDING, "The pod waits for a node."),
    "has a node": (
        pod(node="node-1", scheduled=condition(True)),
        Reason.STARTING,
        "On node node-1: the image is pulled if needed, then the agent server boots.",
    ),
    "is being made": (
        on_node(container()),
        Reason.STARTING,
        "On node node-1: the image is pulled if needed, then the agent server boots.",
    ),
    "boots": (
        runs(),
        Reason.STARTING,
        "On node node-1: the image is pulled if needed, then the agent server boots.",
    ),
    "cannot pull now": (
        waits("ErrImagePull", BUSY),
        Reason.REGISTRY_UNAVAILABLE,
        f"ImagePullBackOff: the image {IMAGE} cannot be pulled: {BUSY}",
    ),
    "could not pull, and waits": (
        waits("ImagePullBackOff", f'Back-off pulling image "{IMAGE}": ErrImagePull: {BUSY}'),
        Reason.REGISTRY_UNAVAILABLE,
        f"ImagePullBackOff: the image {IMAGE} cannot be pulled: {BUSY}",
    ),
    "cannot pull": (
        waits("ErrImagePull", NOT_FOUND),
        Reason.IMAGE_NOT_FOUND,
        f"ImagePullBackOff: the image {IMAGE} cannot be pulled: {NOT_FOUND}",
    ),
    "waits to pull again": (
        waits("ImagePullBackOff", f'Back-off pulling image "{IMAGE}": ErrImagePull: {NOT_FOUND}'),
        Reason.IMAGE_NOT_FOUND,
        f"ImagePullBackOff: the image {IMAGE} cannot be pulled: {NOT_FOUND}",
    ),
    "waits to pull again, older kubelet": (
        waits("ImagePullBackOff", f'Back-off pulling image "{IMAGE}"'),
        Reason.IMAGE_PULL_BACK_OFF,
        f"ImagePullBackOff: the image {IMAGE} cannot be pulled.",
    ),
    "may not pull": (
        waits("ErrImageNeverPull", f'Container image "{IMAGE}" is not present with pull policy of Never'),
        Reason.IMAGE_NOT_FOUND,
        f"ImagePullBackOff: the image {IMAGE} cannot be pulled: "
        f'Container image "{IMAGE}" is not present with pull policy of Never',
    ),
    "malformed image": (
        waits("InvalidImageName", "couldn't parse image name"),
        Reason.INVALID_IMAGE_NAME,
        f"InvalidImageName: {IMAGE}: couldn't parse image name",
    ),
    "missing secret": (
        waits("CreateContainerConfigError", 'secret "one" not found'),
        Reason.CREATE_CONTAINER_ERROR,
        'CreateContainerConfigError: secret "one" not found',
    ),
    "no such program, first time": (
        waits("RunContainerError", 'exec: "nope": executable file not found in $PATH'),
        Reason.COMMAND_CANNOT_RUN,
        'The command cannot be run: exec: "nope": executable file not found in $PATH',
    ),
    "no such program, again": (
        waits("RunContainerError", 'exec: "nope": executable file not found in $PATH', restarts=1),
        Reason.COMMAND_CANNOT_RUN,
        'The command cannot be run: exec: "nope": executable file not found in $PATH',
    ),
    "no such program, in between": (
        waits(
            "CrashLoopBackOff",
            "back-off 10s restarting",
            restarts=1,
            last_run=run(128, "StartError", 'exec: "nope": executable file not found in $PATH', 0),
        ),
        Reason.COMMAND_CANNOT_RUN,
        'The command cannot be run: exec: "nope": executable file not found in $PATH',
    ),
    "no such program, says the shell": (
        waits(
            "CrashLoopBackOff", "back-off 10s restarting", restarts=1, last_run=run(127, message="sh: nope: not found")
        ),
        Reason.CRASH_LOOP_BACK_OFF,
        "The command cannot be run: sh: nope: not found",
    ),
    "no program at all, says the shell": (
        on_node(container(waiting_reason="", last_run=run(126, message="sh: /etc/hosts: Permission denied"))),
        Reason.CONTAINER_RESTARTING,
        "Started again. The command cannot be run: sh: /etc/hosts: Permission denied",
    ),
    "the runtime is busy": (
        waits("RunContainerError", "context deadline exceeded", restarts=4),
        Reason.CREATE_CONTAINER_ERROR,
        "The container cannot be started: context deadline exceeded",
    ),
    "the runtime is busy, in between": (
        waits("CrashLoopBackOff", "back-off 10s", last_run=run(128, "StartError", "context deadline exceeded", 0)),
        Reason.CREATE_CONTAINER_ERROR,
        "The container cannot be started: context deadline exceeded",
    ),
    "boots after the runtime was busy": (
        runs(restarts=1, last_run=run(128, "StartError", "context deadline exceeded", 0)),
        Reason.CONTAINER_RESTARTING,
        "Started again. It could not be started: context deadline exceeded",
    ),
    "ended once": (
        on_node(container(waiting_reason="", last_run=run(3, message="Application startup failed\n"))),
        Reason.CONTAINER_RESTARTING,
        "Started again. The agent server ended with exit code 3: Application startup failed",
    ),
    "boots again": (
        runs(restarts=1, last_run=run(0, "Completed", seconds=4)),
        Reason.CONTAINER_RESTARTING,
        "Started again. The agent server ended with exit code 0.",
    ),
    "ended after long service": (
        runs(restarts=7, last_run=run(139, seconds=60)),
        Reason.CONTAINER_RESTARTING,
        "Started again. The agent server ended with exit code 139 (SIGSEGV).",
    ),
    "ends again and again": (
        runs(restarts=2, last_run=run(143, seconds=59)),
        Reason.CRASH_LOOP_BACK_OFF,
        "The agent server ended with exit code 143 (SIGTERM).",
    ),
    "waits after a crash": (
        waits("CrashLoopBackOff", "back-off 10s restarting", restarts=1, last_run=run(1)),
        Reason.CRASH_LOOP_BACK_OFF,
        "The agent server ended with exit code 1.",
    ),
    "waits after a crash that was forgotten": (
        waits("CrashLoopBackOff", "back-off 10s restarting"),
        Reason.CRASH_LOOP_BACK_OFF,
        "CrashLoopBackOff: back-off 10s restarting",
    ),
    "out of memory once": (
        runs(restarts=1, last_run=run(137, "OOMKilled", seconds=5)),
        Reason.CONTAINER_RESTARTING,
        "Started again. The agent server ran out of memory (OOMKilled, exit code 137).",
    ),
    "out of memory again and again": (
        waits("CrashLoopBackOff", restarts=3, last_run=run(137, "OOMKilled")),
        Reason.OOM_KILLED,
        "The agent server ran out of memory (OOMKilled, exit code 137).",
    ),
    "stopped answering": (
        on_node(
            container(waiting_reason="", running_since=NOW, restarts=3, last_run=run(1)),
            ready=condition(False, since=LATER),
        ),
        Reason.NOT_RESPONDING,
        "The agent server runs and does not answer its readiness probe.",
    ),
    "node is silent": (
        SILENT,
        Reason.NODE_LOST,
        "Node node-1 does not report.",
    ),
    "node is silent, in words": (
        replace(SILENT, ready=condition(False, "", "kubelet stopped posting", since=LATER)),
        Reason.NODE_LOST,
        "Node node-1 does not report: kubelet stopped posting",
    ),
    "another container is not ready": (
        replace(SILENT, ready=condition(False, "ContainersNotReady", MESH_UNREADY, since=LATER)),
        Reason.POD_NOT_READY,
        f"The agent server answers, but the rest of the pod is not ready: {MESH_UNREADY}",
    ),
    "an injected container cannot start": (
        on_node(container(waiting_reason="PodInitializing"), obstacle=MESH_INIT),
        Reason.CREATE_CONTAINER_ERROR,
        "Container mesh-init: CrashLoopBackOff: iptables: Permission denied",
    ),
    "an injected container cannot start, and nobody knows why": (
        on_node(container(waiting_reason="PodInitializing"), obstacle=replace(MESH_INIT, message="")),
        Reason.CREATE_CONTAINER_ERROR,
        "Container mesh-init: CrashLoopBackOff.",
    ),
    "boots beside an injected container that cannot start": (
        replace(runs(), obstacle=MESH_INIT),
        Reason.STARTING,
        "On node node-1: the image is pulled if needed, then the agent server boots.",
    ),
    "fails by itself beside an injected container that cannot start": (
        replace(waits("ErrImagePull", "not found"), obstacle=MESH_INIT),
        Reason.IMAGE_PULL_BACK_OFF,
        f"ImagePullBackOff: the image {IMAGE} cannot be pulled: not found",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_states(case: str) -> None:
    seen, reason, message = CASES[case]
    finding = examine(seen)
    assert (finding.reason, finding.message) == (reason, message)


def test_only_states_that_usually_pass_are_marked_so() -> None:
    findings = [examine(seen) for seen, _, _ in CASES.values()]
    passing = {(finding.reason, finding.passing_since) for finding in findings if finding.passing_since}
    assert passing == {
        (Reason.PENDING, NOW),
        (Reason.STARTING, NOW),
        # A claim that is as new as its pod is not yet bound.
        (Reason.VOLUME_NOT_BOUND, NOW + timedelta(seconds=4)),
    }


def test_a_container_that_started_a_second_after_the_pod_lost_readiness_still_boots() -> None:
    again = on_node(
        container(waiting_reason="", running_since=NOW + timedelta(seconds=1), restarts=1, last_run=run(1, seconds=99)),
        ready=condition(False, since=SOON),
    )
    assert examine(again).reason is Reason.CONTAINER_RESTARTING


def test_long_last_words_are_cut_at_their_beginning() -> None:
    lines = "\n".join(f"line {number}" for number in range(1000))
    finding = examine(on_node(container(waiting_reason="", last_run=run(1, message=lines))))
    assert finding.message.endswith("line 999")
    assert len(finding.message) < 1200


def test_a_long_image_name_leaves_room_for_the_cause() -> None:
    finding = examine(replace(waits("ErrImagePull", "not found"), image="registry.example/" + "a" * 1000))
    assert finding.message.endswith("cannot be pulled: not found")
    assert len(finding.message) < 400


@pytest.mark.parametrize("words", [ELSEWHERE, "0/1 nodes are available: 1 node(s) had volume node affinity conflict."])
def test_a_volume_that_is_elsewhere_is_named_before_more_nodes_are(words: str) -> None:
    assert examine(pod(scheduled=condition(False, "Unschedulable", words))).remedy == VOLUME_OF_NODES
    assert not examine(pod(scheduled=condition(False, "Unschedulable", "1 Insufficient cpu."))).remedy


def test_a_missing_environment_can_be_sent_again() -> None:
    named = {name: examine(waits("CreateContainerConfigError", f'secret "{name}" not found')) for name in NAMES}
    assert {name for name, finding in named.items() if "/start" in finding.remedy} == {*NAMES[:2]}
    assert {finding.reason for finding in named.values()} == {Reason.CREATE_CONTAINER_ERROR}


NAMES = (f"{pod().name}-env", f"{pod().name}-env-1f", "another", pod().name)
"""Of Secrets. The first two have environments that a client has sent."""
