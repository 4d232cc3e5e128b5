"""Starts, and what goes wrong with them and later."""

from dataclasses import replace

from sandbox_common.cluster_events import ClusterEvent
from sandbox_common.losses import LOSSES, LossReason
from sandbox_common.pulls import late_at, pull_words
from sandbox_common.reasons import Reason
from sandbox_common.times import rfc3339
from sandbox_crds.models import Pull
from sandbox_operator.reporting.refusals import Refusal
from sandbox_operator.sandboxes.ending import SHORTEST_LIFE
from sandbox_operator.sandboxes.running import LOOK_INTERVAL, SILENCE, SIZE_PATIENCE
from sandbox_operator.sandboxes.situation import PATIENCE
from sandbox_operator.sandboxes.world import Made
from sandbox_operator.watching.pulls import PullUnderWay
from unit.sandbox_operator.cases import KEPT, MADE, Case
from unit.sandbox_operator.samples import (
    IMAGE,
    KEY_ID,
    LATER,
    NOW,
    POD_UID,
    SOON,
    class_,
    condition,
    container,
    on_node,
    pod,
    podless,
    ready,
    run,
    runs,
    sandbox,
    status,
    waits,
)

READY = status(Reason.READY)
BOOTING = "On node node-1: the image is pulled if needed, then the agent server boots."
REPLACES = "The earlier pod is gone, this one replaces it."
OTHER_POD = replace(runs(), uid="another", created=LATER)
FAILED = pod(phase="Failed", reason="Evicted", message="The node was low on resource: memory.")
EVICTED = "Evicted: The node was low on resource: memory. It is replaced."
WAITING = "The pod waits for a node."
DELETED = "The Sandbox is being deleted."
CREATING = waits("ContainerCreating")
NO_VOLUME = ClusterEvent("FailedMount", 'configmap "x" not found', "Pod", POD_UID, LATER)
NO_MOUNT = 'The container cannot be made. FailedMount: configmap "x" not found'
LATEST = LATER + LOOK_INTERVAL
PULLED_SINCE = NOW + PATIENCE

UNDER_WAY = PullUnderWay("python:3.12", "node-1", PULLED_SINCE, 812_000_000, 90.4)
PULL = Pull(
    image="python:3.12", node="node-1", start_time=rfc3339(PULLED_SINCE), size_bytes=812_000_000, expected_seconds=90
)
MISSING = f'failed to resolve reference "{IMAGE}": {IMAGE}: not found'
PULLING = pull_words(PULL, late=False)
BUSY = sandbox(status=status(Reason.REGISTRY_UNAVAILABLE, f"ImagePullBackOff: the image {IMAGE} cannot be pulled: 503"))
AGAIN = LATER
BEGUN_AGAIN = replace(UNDER_WAY, since=AGAIN)
FAILED_BEFORE = ClusterEvent("Failed", "Failed to pull image", "Pod", POD_UID, NOW)
PULLS_AGAIN = ClusterEvent("Pulling", "", "Pod", POD_UID, AGAIN)
LONG_PULL = PULL.model_copy(update={"image": "…" + "x" * 255})
PULL_LATE = late_at(PULL)
assert PULL_LATE
NETWORKED = replace(CREATING, has_network=True)

CASES = {
    # Cold start
    "new": Case(sandbox(), writes=("secrets", "pods")),
    "new, with volume": Case(sandbox(), class_=KEPT, writes=("secrets", "persistentvolumeclaims", "pods")),
    "new, with Service": Case(sandbox(service="Headless"), writes=("secrets", "services", "pods")),
    "new, class missing": Case(sandbox(), class_=None, requeue_at=NOW + PATIENCE),
    "class missing for long": Case(
        sandbox(),
        class_=None,
        now=LATER,
        told=Reason.SANDBOX_CLASS_NOT_FOUND,
        message="There is no SandboxClass default in this namespace.",
    ),
    "pod vanished, and so has its class": Case(
        sandbox(status=READY),
        class_=None,
        now=LATER,
        events=("PodLost",),
        told=Reason.SANDBOX_CLASS_NOT_FOUND,
        message="There is no SandboxClass default in this namespace.",
    ),
    "new, in the root group": Case(
        sandbox(fsGroup=0),
        told=Reason.POD_REFUSED,
        message="fsGroup 0, the root group, needs pod.allowRootGroup of SandboxClass default.",
    ),
    "new, in the root group, which its class allows": Case(
        sandbox(runAsGroup=0), class_=class_(pod={"allowRootGroup": True}), writes=("secrets", "pods")
    ),
    "just made": Case(sandbox(), pod(), made=MADE, requeue_at=NOW + PATIENCE),
    "boots": Case(sandbox(), runs(), made=MADE, requeue_at=NOW + PATIENCE),
    "boots for long": Case(sandbox(), runs(), made=MADE, now=LATER, told=Reason.STARTING, message=BOOTING),
    "waits for a node for long": Case(
        sandbox(), pod(), made=MADE, now=NOW + PATIENCE, told=Reason.PENDING, message=WAITING, requeue_at=NOW + SILENCE
    ),
    "waits for a node, and nobody knows why": Case(sandbox(), pod(), made=MADE, now=NOW + SILENCE, writes=("look",)),
    "waits for a node, and no event says why": Case(
        sandbox(), pod(), made=MADE, now=LATER, looked=LATER, told=Reason.PENDING, message=WAITING, requeue_at=LATEST
    ),
    "image is pulled": Case(
        sandbox(), NETWORKED, made=MADE, now=PULLED_SINCE, pull=UNDER_WAY, requeue_at=PULLED_SINCE + PATIENCE
    ),
    "image is pulled for long": Case(
        sandbox(),
        CREATING,
        made=MADE,
        now=LATER,
        pull=UNDER_WAY,
        told=Reason.STARTING,
        message=PULLING,
        requeue_at=PULL_LATE,
    ),
    "image is pulled, of unknown size": Case(
        sandbox(),
        NETWORKED,
        made=MADE,
        now=LATER,
        pull=replace(UNDER_WAY, size=0, expected_seconds=0.0),
        told=Reason.STARTING,
        message=pull_words(PULL.model_copy(update={"size_bytes": 0, "expected_seconds": 0}), late=False),
    ),
    "image is still pulled, and another prediction would be made now": Case(
        sandbox(status=status(Reason.STARTING, PULLING, pull=PULL)),
        NETWORKED,
        now=LATER,
        pull=replace(UNDER_WAY, expected_seconds=300.0),
        requeue_at=PULL_LATE,
    ),
    "image is still pulled, and its size has become known": Case(
        sandbox(
            status=status(Reason.STARTING, "", pull=PULL.model_copy(update={"size_bytes": 0, "expected_seconds": 0}))
        ),
        NETWORKED,
        now=LATER,
        pull=UNDER_WAY,
        told=Reason.STARTING,
        message=PULLING,
        requeue_at=PULL_LATE,
    ),
    "image is pulled, by a kubelet whose clock is ahead": Case(
        sandbox(),
        NETWORKED,
        made=MADE,
        now=SOON,
        pull=PullUnderWay("second", "node-1", LATER),
        told=Reason.STARTING,
        message=f"Node node-1 has been pulling image second since {rfc3339(LATER)}. Then the agent server boots.",
    ),
    "image is pulled, and its size is being asked for": Case(
        sandbox(),
        NETWORKED,
        made=MADE,
        now=PULLED_SINCE + PATIENCE,
        pull=replace(UNDER_WAY, size=0, expected_seconds=0.0, is_asked=True),
        requeue_at=PULLED_SINCE + PATIENCE + SIZE_PATIENCE,
    ),
    "image is pulled, and nobody says its size": Case(
        sandbox(),
        NETWORKED,
        made=MADE,
        now=PULLED_SINCE + PATIENCE + SIZE_PATIENCE,
        pull=replace(UNDER_WAY, size=0, expected_seconds=0.0, is_asked=True),
        told=Reason.STARTING,
        message=pull_words(PULL.model_copy(update={"size_bytes": 0, "expected_seconds": 0}), late=False),
    ),
    "image of a long name is still pulled": Case(
        sandbox(status=status(Reason.STARTING, pull_words(LONG_PULL, late=False), pull=LONG_PULL)),
        NETWORKED,
        now=LATER,
        pull=replace(UNDER_WAY, image="x" * 1000),
        requeue_at=PULL_LATE,
    ),
    "image is pulled for longer than predicted": Case(
        sandbox(status=status(Reason.STARTING, PULLING, pull=PULL)),
        NETWORKED,
        now=PULL_LATE,
        pull=UNDER_WAY,
        told=Reason.STARTING,
        message=pull_words(PULL, late=True),
    ),
    "image is pulled for much longer than predicted": Case(
        sandbox(status=status(Reason.STARTING, pull_words(PULL, late=True), pull=PULL)),
        NETWORKED,
        now=PULL_LATE + LOOK_INTERVAL,
        pull=UNDER_WAY,
    ),
    "pull was found after the start was reported": Case(
        sandbox(status=status(Reason.STARTING, BOOTING)),
        NETWORKED,
        now=LATER,
        pull=UNDER_WAY,
        told=Reason.STARTING,
        message=PULLING,
        requeue_at=PULL_LATE,
    ),
    "another image is pulled": Case(
        sandbox(status=status(Reason.STARTING, PULLING, pull=PULL)),
        NETWORKED,
        now=LATER,
        pull=PullUnderWay("second", "node-1", LATER - PATIENCE),
        told=Reason.STARTING,
        message=f"Node node-1 has been pulling image second since {rfc3339(LATER - PATIENCE)}. "
        "Then the agent server boots.",
    ),
    "image is there, and the agent server boots": Case(
        sandbox(status=status(Reason.STARTING, PULLING, pull=PULL)), runs(), now=LATER
    ),
    "image was pulled, and the pod is ready": Case(
        sandbox(status=status(Reason.STARTING, PULLING, pull=PULL)), ready(), now=LATER, told=Reason.READY
    ),
    "image is missing, whatever the Events say": Case(
        sandbox(status=status(Reason.STARTING, PULLING, pull=PULL)),
        waits("ErrImagePull", MISSING),
        now=LATER,
        pull=UNDER_WAY,
        told=Reason.IMAGE_NOT_FOUND,
        message=f"ImagePullBackOff: the image {IMAGE} cannot be pulled: {MISSING}",
    ),
    "image is pulled again after a failure, maybe": Case(
        BUSY, waits("ImagePullBackOff", "503"), now=AGAIN, pull=BEGUN_AGAIN, requeue_at=AGAIN + SILENCE
    ),
    "image is pulled again after a failure, as Events may say": Case(
        BUSY, waits("ImagePullBackOff", "503"), now=AGAIN + SILENCE, pull=BEGUN_AGAIN, writes=("look",)
    ),
    "image is pulled again after a failure": Case(
        BUSY,
        waits("ImagePullBackOff", "503"),
        now=AGAIN + SILENCE,
        looked=AGAIN + SILENCE,
        pod_events=(FAILED_BEFORE, PULLS_AGAIN),
        pull=BEGUN_AGAIN,
        told=Reason.STARTING,
        message=pull_words(PULL.model_copy(update={"start_time": rfc3339(AGAIN)}), late=False),
        requeue_at=late_at(PULL.model_copy(update={"start_time": rfc3339(AGAIN)})),
    ),
    "image was pulled again, which failed at once": Case(
        BUSY,
        waits("ImagePullBackOff", "503"),
        now=AGAIN + SILENCE,
        looked=AGAIN + SILENCE,
        pod_events=(FAILED_BEFORE, PULLS_AGAIN, replace(FAILED_BEFORE, seen=AGAIN)),
        pull=BEGUN_AGAIN,
    ),
    "image is pulled again, and the Events could not be read": Case(
        BUSY,
        waits("ImagePullBackOff", "503"),
        now=AGAIN + SILENCE,
        looked=AGAIN + SILENCE,
        pod_events=(FAILED_BEFORE,),
        pull=BEGUN_AGAIN,
        requeue_at=AGAIN + SILENCE + LOOK_INTERVAL,
    ),
    "container is made for long": Case(sandbox(), CREATING, made=MADE, now=LATER, writes=("look",)),
    "container cannot be made, as an event says": Case(
        sandbox(),
        CREATING,
        made=MADE,
        now=LATER,
        looked=LATER,
        pod_events=(NO_VOLUME,),
        told=Reason.CREATE_CONTAINER_ERROR,
        message=NO_MOUNT,
        requeue_at=LATEST,
    ),
    "container still cannot be made": Case(
        sandbox(status=status(Reason.CREATE_CONTAINER_ERROR, NO_MOUNT)),
        CREATING,
        now=LATER,
        looked=LATER,
        pod_events=(NO_VOLUME,),
        requeue_at=LATEST,
    ),
    "time to look again": Case(
        sandbox(status=status(Reason.CREATE_CONTAINER_ERROR, NO_MOUNT)),
        CREATING,
        now=LATEST,
        looked=LATER,
        pod_events=(NO_VOLUME,),
        writes=("look",),
    ),
    "container can be made now": Case(
        sandbox(status=status(Reason.CREATE_CONTAINER_ERROR, NO_MOUNT)),
        runs(),
        now=LATEST,
        looked=LATER,
        pod_events=(NO_VOLUME,),
        told=Reason.STARTING,
        message=BOOTING,
    ),
    "is ready soon": Case(sandbox(), ready(), made=MADE, told=Reason.READY),
    "has something to say at once": Case(
        sandbox(),
        waits("ErrImagePull", "not found"),
        made=MADE,
        told=Reason.IMAGE_PULL_BACK_OFF,
        message=f"ImagePullBackOff: the image {IMAGE} cannot be pulled: not found",
    ),
    # After a crash of the operator nobody knows whether all was made.
    "pod made by a predecessor": Case(sandbox(), runs(), writes=("secrets",)),
    "pod made by a predecessor, class gone": Case(sandbox(), runs(), class_=None, requeue_at=NOW + PATIENCE),
    "all made but the pod": Case(sandbox(), made=Made(KEY_ID), writes=("secrets", "pods")),
    "pod told by a predecessor": Case(sandbox(status=status(Reason.STARTING, BOOTING)), runs(), now=LATER),
    # Nothing to do
    "settled": Case(sandbox(status=READY), ready(), now=LATER),
    "settled, class gone": Case(sandbox(status=READY), ready(), class_=None, now=LATER),
    "settled, spec edited": Case(
        sandbox(status=READY, generation=2, image="other"), ready(), now=LATER, told=Reason.READY
    ),
    "being deleted": Case(sandbox(deleted=True), told=Reason.TERMINATING, message="The Sandbox is being deleted."),
    "being deleted, suspended or not": Case(
        sandbox(deleted=True, suspend=True, service="Headless"), told=Reason.TERMINATING, message=DELETED
    ),
    "being deleted with its pod": Case(
        sandbox(status=READY, deleted=True), ready(), writes=("prepare",), told=Reason.TERMINATING, message=DELETED
    ),
    "being deleted with its pod, which has saved its work": Case(
        sandbox(status=READY, deleted=True),
        ready(),
        prepared=POD_UID,
        writes=("delete pods",),
        told=Reason.TERMINATING,
        message=DELETED,
    ),
    "being deleted, and its pod ends": Case(
        sandbox(status=status(Reason.TERMINATING, DELETED), deleted=True),
        ready(deletion_requested=NOW),
    ),
    "being deleted while it starts": Case(
        sandbox(deleted=True), runs(), writes=("delete pods",), told=Reason.TERMINATING, message=DELETED
    ),
    "being deleted at the end of its life": Case(
        sandbox(deleted=True, maximumLifeSeconds=1), now=LATER, told=Reason.TERMINATING, message=DELETED
    ),
    "told already": Case(sandbox(status=status(Reason.STARTING, "in other words")), runs(), now=LATER),
    # Trouble
    "no longer answers": Case(
        sandbox(status=READY),
        on_node(container(waiting_reason="", running_since=NOW), ip="10.244.0.7", ready=condition(False, since=LATER)),
        now=LATER,
        told=Reason.NOT_RESPONDING,
        message="The agent server runs and does not answer its readiness probe.",
    ),
    "restarts": Case(
        sandbox(status=READY),
        runs(restarts=1, last_run=run(1, seconds=300)),
        now=LATER,
        told=Reason.CONTAINER_RESTARTING,
        message="Started again. The agent server ended with exit code 1.",
    ),
    "restarted once more": Case(
        sandbox(status=status(Reason.CRASH_LOOP_BACK_OFF, "The agent server ended with exit code 1.", restart_count=2)),
        runs(restarts=3, last_run=run(1)),
        now=LATER,
        told=Reason.CRASH_LOOP_BACK_OFF,
        message="The agent server ended with exit code 1.",
    ),
    "evicted": Case(
        sandbox(status=READY),
        FAILED,
        now=LATER,
        writes=("delete pods",),
        events=("PodLost",),
        told=Reason.EVICTED,
        message=EVICTED,
        remedy=LOSSES[LossReason.NODE_LOW_ON_MEMORY].remedy,
    ),
    "evicted at once": Case(
        sandbox(),
        FAILED,
        events=("PodLost",),
        told=Reason.EVICTED,
        message=EVICTED,
        remedy=LOSSES[LossReason.NODE_LOW_ON_MEMORY].remedy,
        requeue_at=NOW + SHORTEST_LIFE,
    ),
    "rejected by its node at once": Case(
        sandbox(),
        pod(phase="Failed", reason="OutOfcpu", message="Node didn't have enough resource: cpu"),
        told=Reason.POD_FAILED,
        message="OutOfcpu: Node didn't have enough resource: cpu. It is replaced.",
        requeue_at=NOW + SHORTEST_LIFE,
    ),
    "ended by itself": Case(
        sandbox(status=READY),
        pod(phase="Failed", message="Killed."),
        now=LATER,
        writes=("delete pods",),
        events=("PodLost",),
        told=Reason.POD_FAILED,
        message="Failed: Killed. It is replaced.",
    ),
    "pod vanished, another is there": Case(
        sandbox(status=READY),
        OTHER_POD,
        now=LATER,
        made=Made(KEY_ID, "another"),
        told=Reason.STARTING,
        message=f"{REPLACES} {BOOTING}",
    ),
    "pod vanished while it started, another is there": Case(
        sandbox(status=status(Reason.STARTING, BOOTING)),
        OTHER_POD,
        now=LATER,
        made=Made(KEY_ID, "another"),
        requeue_at=LATER + PATIENCE,
    ),
    # Refusals
    "refused": Case(
        sandbox(),
        refusal=Refusal(Reason.QUOTA_EXCEEDED, "exceeded quota: small"),
        made=Made(KEY_ID),
        told=Reason.QUOTA_EXCEEDED,
        message="exceeded quota: small",
    ),
    "refused again": Case(
        sandbox(status=podless(Reason.QUOTA_EXCEEDED, "exceeded quota: small")),
        refusal=Refusal(Reason.QUOTA_EXCEEDED, "exceeded quota: small"),
        made=Made(KEY_ID),
    ),
}
