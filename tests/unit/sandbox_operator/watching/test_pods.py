"""Pods of the API server, reduced."""

import copy
from datetime import UTC, datetime
from typing import Any

import pytest

from sandbox_crds.names import CONTAINER
from sandbox_operator.watching.nodes import Toleration
from sandbox_operator.watching.pods import CLAIMED_ANNOTATION, Obstacle, controller_uid, decode
from unit.sandbox_common.test_times import ABSURD

POD: dict[str, Any] = {
    "metadata": {
        "name": "one-abcdefgh",
        "uid": "pod-uid",
        "creationTimestamp": "2026-11-23T12:00:00Z",
        "ownerReferences": [{"uid": "other", "controller": False}, {"uid": "owner", "controller": True}],
    },
    "spec": {
        "nodeName": "node-1",
        "containers": [{"name": "sidecar", "image": "mesh"}, {"name": CONTAINER, "image": "agent"}],
    },
    "status": {
        "phase": "Running",
        "podIP": "10.244.0.7",
        "conditions": [
            {"type": "Ready", "status": "True", "lastTransitionTime": "2026-11-23T12:00:05Z"},
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no room"},
        ],
        "containerStatuses": [
            {"name": "sidecar", "ready": False, "restartCount": 9},
            {
                "name": CONTAINER,
                "ready": True,
                "restartCount": 2,
                "state": {"running": {"startedAt": "2026-11-23T12:00:04Z"}},
                "lastState": {
                    "terminated": {
                        "exitCode": 3,
                        "reason": "Error",
                        "message": "why",
                        "startedAt": "2026-11-23T12:00:00Z",
                        "finishedAt": "2026-11-23T12:00:02Z",
                    }
                },
            },
        ],
    },
}


def _requests(cpu: str, memory: str) -> dict[str, Any]:
    return {"name": "agent-server", "resources": {"requests": {"cpu": cpu, "memory": memory}}}


def at(second: int) -> datetime:
    return datetime(2026, 11, 23, 12, 0, second, tzinfo=UTC)


def test_what_it_tolerates() -> None:
    pod = copy.deepcopy(POD)
    pod["spec"]["tolerations"] = [
        {"operator": "Exists", "key": "a", "effect": "NoExecute", "tolerationSeconds": 300},
        {"key": "b", "value": "c"},
    ]
    assert decode(pod).tolerations == (Toleration("a", exists=True, effect="NoExecute"), Toleration("b", value="c"))
    assert decode(POD).tolerations == ()


@pytest.mark.parametrize(
    ("source", "local"),
    [
        ({"emptyDir": {}}, True),
        ({"image": {"reference": "a"}}, True),
        ({"projected": {}}, True),
        ({"persistentVolumeClaim": {"claimName": "a"}}, False),
        ({"ephemeral": {}}, False),
        ({"nfs": {}}, False),
        ({"hostPath": {"path": "/shared"}}, False),
    ],
)
def test_whether_its_volumes_go_with_it(source: dict[str, Any], local: bool) -> None:
    pod = copy.deepcopy(POD)
    pod["spec"]["volumes"] = [{"name": "tmp", "emptyDir": {}}, {"name": "x", **source}]
    assert decode(pod).is_local is local


@pytest.mark.parametrize(
    ("name", "source", "claim"),
    [
        ("workspace", {"persistentVolumeClaim": {"claimName": "a"}}, "a"),
        ("workspace", {"emptyDir": {}}, ""),
        ("x", {"persistentVolumeClaim": {"claimName": "a"}}, ""),
    ],
)
def test_which_claim_its_workspace_has(name: str, source: dict[str, Any], claim: str) -> None:
    pod = copy.deepcopy(POD)
    pod["spec"]["volumes"] = [{"name": "tmp", "emptyDir": {}}, {"name": name, **source}]
    assert decode(pod).volume_claim == claim
    assert decode(pod).keeps_workspace is bool(claim)


def test_a_running_pod() -> None:
    pod = decode(POD)
    assert (pod.name, pod.uid, pod.owner_uid, pod.image) == ("one-abcdefgh", "pod-uid", "owner", "agent")
    assert (pod.node, pod.ip, pod.phase, pod.created) == ("node-1", "10.244.0.7", "Running", at(0))
    assert pod.is_ready
    assert not pod.is_finished
    assert pod.ready
    assert pod.ready.since == at(5)
    assert pod.scheduled
    assert (pod.scheduled.status, pod.scheduled.reason, pod.scheduled.message) == (False, "Unschedulable", "no room")
    assert pod.container
    assert (pod.container.ready, pod.container.restarts, pod.container.running_since) == (True, 2, at(4))
    assert pod.container.last_run
    run = pod.container.last_run
    assert (run.exit_code, run.reason, run.message, run.seconds) == (3, "Error", "why", 2.0)


def test_the_present_end_is_later_than_the_last_one() -> None:
    body = copy.deepcopy(POD)
    body["status"]["containerStatuses"][1]["state"] = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
    container = decode(body).container
    assert container
    assert container.last_run
    assert (container.last_run.reason, container.last_run.seconds) == ("OOMKilled", 0.0)


def test_deletion_is_asked_for_a_grace_period_before_its_timestamp() -> None:
    body = copy.deepcopy(POD)
    body["metadata"] |= {"deletionTimestamp": "2026-11-23T12:00:40Z", "deletionGracePeriodSeconds": 30}
    pod = decode(body)
    assert (pod.deletion_requested, pod.deletion_due) == (at(10), at(40))


def test_who_is_about_to_end_the_pod() -> None:
    body = copy.deepcopy(POD)
    body["status"]["conditions"].append(
        {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI", "message": "Eviction API"}
    )
    disruption = decode(body).disruption
    assert disruption
    assert (disruption.status, disruption.reason, disruption.message) == (True, "EvictionByEvictionAPI", "Eviction API")
    assert decode(POD).disruption is None


@pytest.mark.parametrize(("status", "has_network"), [("True", True), ("False", False), ("Unknown", False)])
def test_whether_volumes_and_network_are_there(status: str, has_network: bool) -> None:
    body = copy.deepcopy(POD)
    body["status"]["conditions"].append({"type": "PodReadyToStartContainers", "status": status})
    assert decode(body).has_network is has_network
    assert not decode(POD).has_network


WAITING = {"state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}}
OBSTACLES: dict[str, tuple[dict[str, Any], Obstacle | None]] = {
    "none": ({}, None),
    "done": ({"initContainerStatuses": [{"name": "mesh-init", "state": {"terminated": {"exitCode": 0}}}]}, None),
    "on its way": (
        {"initContainerStatuses": [{"name": "mesh-init", "state": {"waiting": {"reason": "PodInitializing"}}}]},
        None,
    ),
    "an init container": (
        {"initContainerStatuses": [{"name": "mesh-init", **WAITING}]},
        Obstacle("mesh-init", "CrashLoopBackOff", "back-off 10s"),
    ),
    "with last words": (
        {
            "initContainerStatuses": [
                {"name": "mesh-init", **WAITING, "lastState": {"terminated": {"exitCode": 1, "message": "why"}}}
            ]
        },
        Obstacle("mesh-init", "CrashLoopBackOff", "why"),
    ),
    "a sidecar": (
        {"containerStatuses": [{"name": CONTAINER, **WAITING}, {"name": "mesh", **WAITING}]},
        Obstacle("mesh", "CrashLoopBackOff", "back-off 10s"),
    ),
    "only itself": ({"containerStatuses": [{"name": CONTAINER, **WAITING}]}, None),
}


@pytest.mark.parametrize("case", OBSTACLES)
def test_injected_containers_that_cannot_run(case: str) -> None:
    status, obstacle = OBSTACLES[case]
    assert decode(POD | {"status": status}).obstacle == obstacle


def test_ports_are_those_of_the_agent_server() -> None:
    assert decode(POD).ports == ()
    declared = [{"name": "http", "containerPort": 60000}, {"containerPort": 7}, {"name": "work-1", "containerPort": 9}]
    sidecar = {"name": "sidecar", "image": "mesh", "ports": [{"name": "http", "containerPort": 1}]}
    containers = [sidecar, {"name": CONTAINER, "image": "agent", "ports": declared}]
    pod = decode(POD | {"spec": {**POD["spec"], "containers": containers}})
    assert pod.ports == (("http", 60000), ("work-1", 9))
    assert (pod.port("work-1"), pod.port("vscode")) == (9, 0)


def test_a_pod_that_was_just_made_has_no_status() -> None:
    body = {key: value for key, value in POD.items() if key != "status"}
    pod = decode(body)
    assert (pod.phase, pod.ip, pod.container, pod.ready, pod.is_ready) == ("", "", None, None, False)


@pytest.mark.parametrize("phase", ["Failed", "Succeeded"])
def test_finished_phases(phase: str) -> None:
    assert decode(POD | {"status": {"phase": phase}}).is_finished


def test_an_object_without_controller_has_no_owner() -> None:
    assert controller_uid({"metadata": {}}) == ""
    assert controller_uid({"metadata": {"ownerReferences": [{"uid": "other"}]}}) == ""


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"metadata": {}},
        {"metadata": {**POD["metadata"], "creationTimestamp": "yesterday"}, "spec": POD["spec"]},
        {"metadata": POD["metadata"], "spec": {}},
        {"metadata": POD["metadata"], "spec": POD["spec"], "status": "Running"},
    ],
)
def test_what_is_no_pod_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        decode(body)


@pytest.mark.parametrize("grace", [99999999999, 2**63 - 1, 0, -1])
def test_any_grace_period_is_read(grace: int) -> None:
    """The API server takes any number, and the sum of it and the time overflows there, too."""
    pod = copy.deepcopy(POD)
    for end in ("1877-05-02T06:31:45Z", "2318-03-01T00:00:00Z", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z"):
        pod["metadata"] |= {"deletionTimestamp": end, "deletionGracePeriodSeconds": grace}
        assert decode(pod).deletion_requested is not None


@pytest.mark.parametrize("text", ABSURD)
def test_any_time_is_read(text: str) -> None:
    pod = copy.deepcopy(POD)
    pod["metadata"] |= {"creationTimestamp": text, "annotations": {CLAIMED_ANNOTATION: text}}
    pod["status"]["conditions"][0]["lastTransitionTime"] = text
    ended = pod["status"]["containerStatuses"][1]["lastState"]["terminated"]
    ended |= {"startedAt": text}
    read = decode(pod)
    assert read.claimed == read.created
    assert read.container
    assert read.container.last_run
    assert abs(read.container.last_run.seconds) < 1e12


def test_a_restarted_agent_server_is_another_run() -> None:
    started = copy.deepcopy(POD)
    again = copy.deepcopy(POD)
    again["status"]["containerStatuses"] = [{"name": CONTAINER, "restartCount": 1, "state": {}}]
    assert decode(POD).run_id == decode(started).run_id != decode(again).run_id


@pytest.mark.parametrize(
    ("spec", "requests"),
    [
        ({}, (0, 0)),
        ({"containers": [_requests("250m", "1Gi")]}, (250, 1024)),
        ({"containers": [_requests("1", "1Gi"), _requests("0.5", "100M")]}, (1500, 1024 + 96)),
        ({"initContainers": [{**_requests("100m", "1Mi"), "restartPolicy": "Always"}]}, (100, 1)),
        (
            {"containers": [_requests("1", "1Mi")], "initContainers": [_requests("2", "0"), _requests("3", "0")]},
            (3000, 1),
        ),
        ({"overhead": {"cpu": "10m", "memory": "16Mi"}}, (10, 16)),
        ({"containers": [_requests("nothing", "")]}, (0, 0)),
    ],
)
def test_requests_are_those_that_a_scheduler_counts(spec: dict[str, Any], requests: tuple[int, int]) -> None:
    body = {**POD, "spec": {**POD["spec"], "containers": [{"name": "agent-server"}], **spec}}
    assert decode(body).requests == requests
