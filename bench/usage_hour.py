"""Recorded usage against the kubelet's own accounting: `python -m bench.usage_hour --help`.

On the local cluster, sandboxes run, pause, resume and end. Meanwhile, the kubelet is asked each second which containers
run, and since when. At the end, its time and the requests of these containers are compared with `GET /usage`.
"""

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from bench.tables import Grid
from cluster.runtime import Runtime
from cluster.site import Site, installed
from demo.local_target import LocalTarget
from local_cluster.progress import Progress
from sandbox_common import times
from sandbox_common.quantity import amount
from sandbox_crds.api import SANDBOX_LABEL

NAMESPACE = "bench-usage"
FIELDS = ("running_seconds", "cpu_millicore_seconds", "memory_mebibyte_seconds", "cold_starts", "resumes")
_MEBI = 1024**2
_WRITTEN_SECONDS = 330.0
"""The operator writes a record at most every five minutes."""


@dataclass(slots=True)
class Container:
    """The agent server's container of one pod. Times are seconds since 1970; `ended` 0: it runs."""

    cpu: float
    """Millicores."""
    memory: float
    """MiB."""
    began: float
    seen: float
    ended: float = 0.0

    @property
    def seconds(self) -> float:
        """How long the kubelet has had it running, as far as is known."""
        return (self.ended or self.seen) - self.began


@dataclass
class Kubelet:
    """What the kubelet of the only node says about sandboxes' containers, by the UID of their pods."""

    site: Site
    containers: dict[str, Container] = field(default_factory=dict[str, Container])

    def __post_init__(self) -> None:
        [self._node] = self.site.kubectl("get", "nodes", "--output", "json")["items"]

    def look_until(self, over: threading.Event) -> None:
        """Ask it each second."""
        while not over.wait(1):
            self.look()

    def look(self) -> None:
        """Ask it."""
        path = f"/api/v1/nodes/{self._node['metadata']['name']}/proxy/pods"
        found: dict[str, Any] = json.loads(self.site.kubectl("get", "--raw", path))
        now = time.time()
        for pod in found["items"]:
            metadata = pod["metadata"]
            if metadata["namespace"] != self.site.release.namespace or SANDBOX_LABEL not in metadata.get("labels", {}):
                continue
            for status in pod.get("status", {}).get("containerStatuses", []):
                self._take(metadata["uid"], pod, status["state"], now)

    def _take(self, uid: str, pod: Mapping[str, Any], state: Mapping[str, Any], now: float) -> None:
        if running := state.get("running"):
            requests = pod["spec"]["containers"][0]["resources"]["requests"]
            cpu, memory = float(amount(requests["cpu"]) or 0), float(amount(requests["memory"]) or 0)
            began = times.parse(running["startedAt"]).timestamp()
            self.containers.setdefault(uid, Container(1000 * cpu, memory / _MEBI, began, now)).seen = now
        elif (ended := state.get("terminated")) and uid in self.containers:
            self.containers[uid].ended = times.parse(ended["finishedAt"]).timestamp()


def lives(site: Site, image: str, seconds: float) -> list[tuple[float, Callable[[], object]]]:
    """What happens, and when: one runs all the time, one pauses twice, one comes late and is stopped early."""
    always, pausing = Runtime(site, image), Runtime(site, image)
    late: list[Runtime] = []
    return [
        (seconds * 0.2, pausing.pause),
        (seconds * 0.25, lambda: late.append(Runtime(site, image))),
        (seconds * 0.4, pausing.resume),
        (seconds * 0.6, pausing.pause),
        (seconds * 0.7, lambda: late[0].call("stop")),
        (seconds * 0.75, pausing.resume),
        (seconds, lambda: (always.call("stop"), pausing.call("stop"))),
    ]


def recorded(site: Site) -> Mapping[str, int]:
    """The amounts of the owner, all days and classes together."""
    total: dict[str, Any] = site.gateway.get("/usage").raise_for_status().json()["total"]
    return {name: total[name] for name in FIELDS}


def compared(containers: Mapping[str, Container], found: Mapping[str, int]) -> Grid:
    """The kubelet's amounts, ours, and the difference."""
    known = containers.values()
    kubelets = {
        "running_seconds": sum(one.seconds for one in known),
        "cpu_millicore_seconds": sum(one.seconds * one.cpu for one in known),
        "memory_mebibyte_seconds": sum(one.seconds * one.memory for one in known),
    }
    rows = [
        [name, f"{of:,.0f}", f"{found[name]:,}", f"{100 * (found[name] / of - 1):+.2f} %"]
        for name, of in kubelets.items()
    ]
    starts = found["cold_starts"] + found["resumes"]
    rows.append(["pods", str(len(known)), str(starts), f"{starts - len(known):+d}"])
    return Grid("Usage", ["amount", "kubelet", "`GET /usage`", "difference"], rows)


def main(minutes: Annotated[float, typer.Option(min=5, help="How long sandboxes live.")] = 60) -> None:
    """Compare recorded usage with the kubelet's accounting."""
    target, progress = LocalTarget(egress=False), Progress()
    target.up(progress)
    images = target.build_images(progress)
    target.load_images(images)
    with installed(target, images, progress, NAMESPACE, discards=True) as site:
        kubelet, began, over = Kubelet(site), time.monotonic(), threading.Event()
        looking = threading.Thread(target=kubelet.look_until, args=(over,))
        looking.start()
        plan = lives(site, images.agent_server, 60 * minutes)
        with progress.step("lives", lambda: f"{len(kubelet.containers)} pods so far, {len(plan)} things to happen"):
            while plan:
                at, do = plan[0]
                if time.monotonic() - began >= at:
                    do()
                    del plan[0]
                time.sleep(1)
        site.kubectl("wait", "--for=delete", "pods", "--selector", SANDBOX_LABEL, "--timeout=120s")
        if not looking.is_alive():
            raise RuntimeError("the kubelet could not be asked all the time")
        over.set()
        looking.join()
        with progress.step("the record's next write"):
            time.sleep(_WRITTEN_SECONDS)
        compared(kubelet.containers, recorded(site)).show()
        print(f"through {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {minutes:g} minutes")


if __name__ == "__main__":
    typer.run(main)
