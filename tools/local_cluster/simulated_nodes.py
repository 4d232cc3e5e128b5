"""Simulated nodes for a control plane: kwok reports what kubelets would report, and nodes can fall silent at will.

kwok reports their pods as running and ready, but nothing runs. Deleted pods go a second later.
"""

import signal
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import yaml

from local_cluster import build
from local_cluster.control_plane import DIE_WITH_PARENT, ControlPlane
from local_cluster.daemons import Daemon, Daemons
from local_cluster.processes import Process
from local_cluster.progress import Progress

POD_CIDR = "127.64.0.0/10"
"""Addresses of pods. They lead nowhere outside of this machine."""

HEARTBEAT_SECONDS = 1
"""How often a node renews its lease."""

_GROUP_LABEL = "simulated-by"
_ENDING_MILLISECONDS = 1000

_UNREADY = {
    "key": '.status.conditions.[] | select(.type == "Ready") | .status',
    "operator": "NotIn",
    "values": ["True"],
}
_DELETED = ".metadata.deletionTimestamp"
_IMAGE = ".spec.containers[0].image"
_NODE_STATUS = """\
conditions:
- type: Ready
  status: "True"
  reason: KubeletReady
  lastHeartbeatTime: {{ Now | Quote }}
  lastTransitionTime: {{ Now | Quote }}
"""
_POD_STATUS = """\
{{ $now := Now }}
phase: Running
startTime: {{ $now | Quote }}
conditions:
{{ range $type := list "PodReadyToStartContainers" "Initialized" "ContainersReady" "Ready" }}
- {type: {{ $type }}, status: "True", lastTransitionTime: {{ $now | Quote }}}
{{ end }}
containerStatuses:
{{ range .spec.containers }}
- name: {{ .name | Quote }}
  image: {{ .image | Quote }}
  imageID: ""
  ready: true
  started: true
  restartCount: 0
  state: {running: {startedAt: {{ $now | Quote }}}}
{{ end }}
podIP: {{ PodIPWith .spec.nodeName false .metadata.uid .metadata.name .metadata.namespace | Quote }}
"""
_PULL_FAILS = """\
phase: Pending
conditions:
- {type: Ready, status: "False", reason: ContainersNotReady, lastTransitionTime: {{ Now | Quote }}}
containerStatuses:
{{ range .spec.containers }}
- name: {{ .name | Quote }}
  image: {{ .image | Quote }}
  imageID: ""
  ready: false
  started: false
  restartCount: 0
  state:
    waiting:
      reason: ImagePullBackOff
      message: {{ printf "ErrImagePull: failed to resolve reference \\"%s\\": not found" .image | Quote }}
{{ end }}
"""


def stages(starts: tuple[int, int] = (0, 0), missing_image: str = "") -> list[dict[str, Any]]:
    """What the nodes do: they and their pods become ready, and deleted pods go.

    `starts`: how long it takes until a pod is ready, at least and at most, in milliseconds. Pods of `missing_image`
    never become ready: the registry does not have it.
    """
    alive = {"key": _DELETED, "operator": "DoesNotExist"}
    is_missing = {"key": _IMAGE, "operator": "In", "values": [missing_image]}
    unreported = {"key": ".status.containerStatuses.[].name", "operator": "DoesNotExist"}
    pull_fails = _stage("pull-fails", "Pod", [alive, is_missing, unreported], {"statusTemplate": _PULL_FAILS}, starts)
    return [
        _stage("node-ready", "Node", [_UNREADY], {"statusTemplate": _NODE_STATUS}),
        _stage(
            "pod-ready",
            "Pod",
            [alive, _UNREADY, *([is_missing | {"operator": "NotIn"}] if missing_image else [])],
            {"statusTemplate": _POD_STATUS},
            starts,
        ),
        *([pull_fails] if missing_image else []),
        _stage(
            "pod-gone",
            "Pod",
            [{"key": _DELETED, "operator": "Exists"}],
            {"delete": True},
            (_ENDING_MILLISECONDS, _ENDING_MILLISECONDS),
        ),
    ]


def _stage(
    name: str, kind: str, matching: list[dict[str, Any]], next_: dict[str, Any], delay: tuple[int, int] = (0, 0)
) -> dict[str, Any]:
    least, most = delay
    return {
        "apiVersion": "kwok.x-k8s.io/v1alpha1",
        "kind": "Stage",
        "metadata": {"name": name},
        "spec": {
            "resourceRef": {"apiGroup": "v1", "kind": kind},
            "selector": {"matchExpressions": matching},
            "delay": {"durationMilliseconds": least, "jitterDurationMilliseconds": most},
            "next": next_,
        },
    }


def node(name: str, group: str, *, cpu: str = "2", memory: str = "8Gi", pods: int = 20) -> dict[str, Any]:
    """A Node for the kwok of this group, with room for this many pods."""
    room = {"cpu": cpu, "memory": memory, "pods": str(pods)}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, _GROUP_LABEL: group}},
        "status": {"capacity": room, "allocatable": room},
    }


class SimulatedNodes:
    """A kwok for one group of nodes of a control plane. Use it as a context manager.

    `fall_silent` halts all heartbeats and all reports about pods, as when the machines are cut off; `speak` continues
    them. The process is stopped, not ended: a new kwok would drop what it sees before it holds the nodes' leases, and
    never look again. `behaviour` is a list of kwok's Stages. Raises ClusterError when kwok cannot be built.
    """

    def __init__(
        self,
        control_plane: ControlPlane,
        group: str,
        progress: Progress | None = None,
        behaviour: Sequence[dict[str, Any]] = (),
    ) -> None:
        self._group = group
        build.ensure(["kwok"], progress or Progress())
        self._daemons = Daemons(
            logs=control_plane.directory / "logs",
            pids=control_plane.directory / f"kwok-{group}",
            prefix=DIE_WITH_PARENT,
            remedy="read the log",
        )
        configuration = control_plane.directory / "kwok.yaml"
        configuration.write_text(yaml.safe_dump_all(behaviour or stages()))
        self._command = [
            str(build.binary("kwok")),
            f"--kubeconfig={control_plane.kubeconfig}",
            f"--config={configuration}",
            f"--manage-nodes-with-label-selector={_GROUP_LABEL}={group}",
            f"--cidr={POD_CIDR}",
            # It renews a lease when a quarter of it has passed.
            f"--node-lease-duration-seconds={4 * HEARTBEAT_SECONDS}",
        ]

    def speak(self) -> None:
        """Let the nodes report again, including what they missed."""
        for process in self.processes().values():
            process.signal(signal.SIGCONT)

    def processes(self) -> dict[str, Process]:
        """The kwok, silent or not."""
        return self._daemons.recorded()

    def fall_silent(self) -> None:
        """Halt the nodes' reports, at once."""
        for process in self.processes().values():
            process.signal(signal.SIGSTOP)

    def __enter__(self) -> Self:
        self._daemons.start(Daemon(f"kwok-{self._group}", self._command))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._daemons.stop_all()
