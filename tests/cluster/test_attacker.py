"""An attacker inside: `attempts.py` runs in sandboxes, and a neighbour does not notice.

What exhausts something runs in the class `default`, and with TEST_WHOLE=1 also in the others. The neighbour's waits are
then compared, too: beside other tests they say nothing. ATTEMPTS_PAGE=docs/attempts.md writes the page of the
documentation.
"""

import http.client
import io
import json
import math
import os
import shlex
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from cluster import other_images
from cluster.attempts import ATTEMPTS, CONTAINED, LINKS, OPEN, STOPPED
from cluster.injections import class_body, sandbox_body
from cluster.outcomes import (
    ALLOWED,
    ALLOWED_WHILE_BUSY,
    DEFAULT,
    EXHAUSTION,
    FLOOD,
    GVISOR,
    KINDS,
    NO_EGRESS,
    NOBODY_LISTENS,
    NODE,
    OUTSIDE,
    TARGETS,
    WEAKEST,
    differences,
    expectations,
    page,
    slowdown,
)
from cluster.runtime import READY_SECONDS, Runtime
from cluster.sdk_uses import COMMAND
from cluster.site import Site
from cluster.support import eventually
from demo.release import NAME
from demo.targets import Images
from demo.workloads import MODEL_PORT, SDK_PYTHON
from local_cluster.cluster import Cluster
from local_cluster.images import write_image
from local_cluster.network import NODE_ADDRESS, Namespace
from local_cluster.node import GVISOR_CLASS
from local_cluster.paths import State
from local_cluster.progress import Progress
from sampling import WHOLE
from sandbox_crds.api import SANDBOX_LABEL
from sandbox_crds.names import CONTAINER

PROGRAM = Path(__file__).with_name("attempts.py")
PAGE = os.environ.get("ATTEMPTS_PAGE")

BOUNDS = ("--hold", "1.5", "--memory-mib", "2048", "--disk-mib", "256", "--connections", "300")
LIMITS: dict[str, Any] = {
    "resources": {
        "requests": {"cpu": "50m", "memory": "256Mi", "ephemeral-storage": "64Mi"},
        "limits": {"memory": "1536Mi", "ephemeral-storage": "1Gi"},
    },
    "workspace": {"size": "192Mi"},
}
SIZES = {"tmpSize": "192Mi", "homeSize": "192Mi"}
SERVER = "cd /tmp && touch health && exec python3 -m http.server --protocol HTTP/1.1 60000 2>/dev/null"
"""Answers as an agent server does when it is asked for its health. Its connections stay, as those of one do."""


@dataclass
class Seen:
    """What the run saw: records by kind and name of the attempt, and the neighbour's answers."""

    records: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict[str, dict[str, dict[str, Any]]])
    samples: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])
    """When a request began, and how many seconds its answer took; endless if it failed."""
    quiet: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])
    """Times without an attempt."""
    downloads: dict[str, tuple[str, str]] = field(default_factory=dict[str, tuple[str, str]])
    """Of the class default: what a download of a link gave, and what the pod itself reads there, by the link's name."""

    def add(self, kind: str, records: Sequence[dict[str, Any]]) -> None:
        self.records.setdefault(kind, {}).update({record["name"]: record for record in records})

    def outcome(self, kind: str, name: str) -> str:
        return self.records.get(kind, {}).get(name, {}).get("outcome", "missing")


# --- The run


@dataclass(frozen=True)
class Attacker:
    """A sandbox in which the attempts run."""

    kind: str
    runtime: Runtime
    python: str

    def upload(self) -> None:
        files = {"file": PROGRAM.read_bytes()}
        answer = self.runtime.agent.post("/api/file/upload", params={"path": "/workspace/attempts.py"}, files=files)
        assert answer.status_code == 200, answer.text

    def attempt(self, *arguments: str, seconds: float = 60) -> list[dict[str, Any]]:
        command = f"{self.python} attempts.py {shlex.join((*BOUNDS, *arguments))}"
        body = {"command": command, "cwd": "/workspace"}
        answer = self.runtime.agent.post("/api/bash/execute_bash_command", json=body, timeout=seconds)
        assert answer.status_code == 200, answer.text
        output = answer.json()
        assert output["exit_code"] == 0, output
        return records(output["stdout"])

    def exhaust(self, name: str) -> dict[str, Any]:
        """Also if the attempt ends the whole container, which the kubelet starts again."""
        begun = time.time()
        restarts = self._restarts()
        try:
            # Nobody answers if the whole container ends, as gVisor's does.
            [record] = self.attempt("--groups", "exhaustion", "--only", name, seconds=30 if name == "memory" else 90)
        except (AssertionError, httpx.TransportError, ValueError) as error:
            before = f"{error!r}"[:300]
            ended = eventually(self._restarts, lambda number: number > restarts)
            self.runtime.await_ready()
            eventually(lambda: self.runtime.agent.get("/alive").status_code, lambda code: code == 200)
            return {
                **{"group": "exhaustion", "name": name, "begun": begun, "ended": time.time()},
                **{"outcome": CONTAINED, "by": "end of the container", "detail": f"restart {ended}; {before}"},
            }
        return record

    def pod(self) -> dict[str, Any]:
        name = self.runtime.object()["status"]["podName"]
        return self.runtime.site.kubectl("get", "pod", name, "--output", "json")

    def _restarts(self) -> int:
        return sum(status["restartCount"] for status in self.pod()["status"]["containerStatuses"])


def records(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


SET_UID_ENV = "/usr/bin/as-root"


def set_uid_image() -> tuple[str, Path]:
    """Debian with a set-uid program that runs any other one: what `sudo` without a password is."""
    layer = other_images._debian().read_bytes()  # pyright: ignore[reportPrivateUsage]
    with tarfile.open(fileobj=io.BytesIO(layer)) as root:
        file = root.extractfile(next(each for each in root if each.isfile() and each.name.endswith("usr/bin/env")))
        assert file
        program = file.read()
    buffer = io.BytesIO(layer)
    with tarfile.open(fileobj=buffer, mode="a") as whole:
        entry = tarfile.TarInfo(SET_UID_ENV.removeprefix("/"))
        entry.size, entry.mode = len(program), 0o4755
        whole.addfile(entry, io.BytesIO(program))
    content = buffer.getvalue()
    key = sha256(content).hexdigest()[:12]
    reference = f"localhost/other-set-uid:{key}"
    path = other_images.cache_dir() / "images" / f"other-set-uid-{key}.tar"
    if not path.exists():
        new = path.with_suffix(".new")
        write_image(new, reference, content, {})
        new.rename(path)
    return reference, path


def classes(site: Site, images: Images) -> dict[str, dict[str, Any]]:
    """Of the attackers and of the neighbour, by kind; made from the chart's own."""
    spec: dict[str, Any] = site.kubectl("get", "sandboxclass", "default", "--output", "json")["spec"]
    brings: dict[str, Any] = site.kubectl("get", "sandboxclass", "any-image", "--output", "json")["spec"]
    small = {**spec, **LIMITS, "pod": {**spec["pod"], **SIZES}}
    side = {"name": "side", "image": images.agent_server, "command": ["sleep", "3600"]}
    weak = {
        **SIZES,
        **{"readOnlyRootFilesystem": False, "allowPrivilegeEscalation": True, "allowRootGroup": True},
        "sidecars": [{**side, "env": [{"name": "OF_A_SIDE_CONTAINER", "value": "any"}]}],
    }
    return {
        DEFAULT: small,
        GVISOR: {**small, "runtimeClasses": {"": GVISOR_CLASS["metadata"]["name"]}},
        WEAKEST: {**brings, **LIMITS, "pod": weak},
        NO_EGRESS: {**small, "egress": "None"},
    }


@contextmanager
def admitted(site: Site) -> Generator[None]:
    """Meanwhile the namespace admits the weakest class, which Pod Security `restricted` refuses."""
    label = "pod-security.kubernetes.io/enforce"
    site.kubectl("label", "--overwrite", "namespace", site.release.namespace, f"{label}=baseline")
    try:
        yield
    finally:
        site.kubectl("label", "--overwrite", "namespace", site.release.namespace, f"{label}=restricted")


@contextmanager
def sandboxes(site: Site, images: Images) -> Generator[dict[str, Runtime]]:
    """One of each class, ready."""
    weak_image, archive = set_uid_image()
    Cluster(State.from_environment()).load_image(archive)
    items: list[dict[str, Any]] = []
    for kind, spec in classes(site, images).items():
        name = _class_name(kind)
        image = weak_image if kind == WEAKEST else images.agent_server
        more: dict[str, Any] = {"runAsGroup": 0, "fsGroup": 0} if kind == WEAKEST else {}
        command = ["sh", "-c", SERVER, "sh", "--port", "60000"] if kind == NO_EGRESS else COMMAND
        sandbox = {"className": name, "image": image, "command": command, "workingDir": "/", **more}
        items += [class_body(name, spec), sandbox_body(name, sandbox)]
    body = {"apiVersion": "v1", "kind": "List", "items": items}
    with admitted(site), ExitStack() as stack:
        site.kubectl("apply", "--filename", "-", body=body)
        stack.callback(lambda: site.kubectl("delete", "--ignore-not-found", "--filename", "-", body=body))
        made: dict[str, Runtime] = {}
        for kind in classes(site, images):
            name = _class_name(kind)
            image = weak_image if kind == WEAKEST else images.agent_server
            made[kind] = runtime = stack.enter_context(Runtime(site, image, session_id=name))
            runtime.session_id = name
        for runtime in made.values():
            eventually(runtime.look, lambda seen: seen["pod_status"] == "ready", 2 * READY_SECONDS)
        yield made


def _class_name(kind: str) -> str:
    return f"attacker-{kind.lower().replace(' ', '-')}"


def targets(site: Site, neighbour: Runtime) -> list[str]:
    """Arguments with name, address and port of what the attempts are aimed at."""
    pods = site.kubectl("get", "pods", "--output", "json")["items"]

    def address(label: str, value: str) -> str:
        return next(pod["status"]["podIP"] for pod in pods if pod["metadata"]["labels"].get(label) == value)

    component = "app.kubernetes.io/component"
    service = site.kubectl("get", "service", f"{NAME}-gateway", "--output", "json")["spec"]
    gateway = address(component, "gateway")
    api = site.kubectl("get", "service", "kubernetes", "--namespace", "default", "--output", "json")["spec"]
    found = {
        "API server, by its Service": f"{api['clusterIP']}:443",
        "API server, by the node's address": f"{NODE_ADDRESS}:{api['ports'][0]['targetPort']}",
        "kubelet": f"{NODE_ADDRESS}:10250",
        "kubelet's port without keys": f"{NODE_ADDRESS}:10255",
        "kube-proxy's health": f"{NODE_ADDRESS}:10256",
        "etcd": f"{NODE_ADDRESS}:2379",
        "gateway's pod": f"{gateway}:8080",
        "gateway's Service": f"{service['clusterIP']}:{service['ports'][0]['port']}",
        "gateway's port of the node": f"{NODE_ADDRESS}:{service['ports'][0]['nodePort']}",
        "gateway's metrics": f"{gateway}:8081",
        "operator's metrics": f"{address(component, 'operator')}:8081",
        "agent server of another sandbox": f"{address(SANDBOX_LABEL, neighbour.id)}:60000",
        "cloud metadata": "169.254.169.254:80",
        "a pod that the profile allows": f"{address('app.kubernetes.io/name', 'scripted-model')}:{MODEL_PORT}",
    }
    assert set(found) == set(TARGETS)
    return [word for name, end in found.items() for word in ("--target", f"{name}={end}")]


@contextmanager
def asked(neighbour: Runtime, samples: list[tuple[float, float]]) -> Generator[None]:
    """Meanwhile the neighbour is asked for its health through the gateway, one request after the other."""
    parts = urlsplit(neighbour.site.url)
    headers = {name: neighbour.agent.headers[name] for name in ("Host", "X-Session-API-Key")}
    done = threading.Event()

    def ask() -> None:
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
        while not done.is_set():
            at, begun = time.time(), time.perf_counter()
            try:
                connection.request("GET", "/health", headers=headers)
                answer = connection.getresponse()
                answer.read()
                seconds = time.perf_counter() - begun if answer.status == 200 else math.inf
            except (OSError, http.client.HTTPException):
                connection.close()
                seconds = math.inf
            samples.append((at, seconds))
            # Light requests: what is measured is the wait, and not how much one client can ask for.
            done.wait(0.004)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(30)


@pytest.fixture(scope="module")
def seen(site: Site, images: Images, progress: Progress) -> Iterator[Seen]:
    found = Seen()
    with sandboxes(site, images) as made, ThreadPoolExecutor() as pool:
        neighbour = made[NO_EGRESS]
        pythons = {WEAKEST: f"{SET_UID_ENV} /oh/any/bin/python -I"}
        attackers = [Attacker(k, made[k], pythons.get(k, f"{SDK_PYTHON} -I")) for k in (DEFAULT, GVISOR, WEAKEST)]
        aims = targets(site, neighbour)
        list(pool.map(Attacker.upload, attackers))

        def look_around(attacker: Attacker) -> list[dict[str, Any]]:
            return attacker.attempt("--groups", "kernel,files,network", *aims)

        others = [
            pool.submit(_without_egress, neighbour, targets(site, made[DEFAULT])),
            pool.submit(_on_the_node, aims),
        ]
        for attacker, result in zip(attackers, pool.map(look_around, attackers), strict=True):
            found.add(attacker.kind, result)
        for kind, other in zip((NO_EGRESS, NODE), others, strict=True):
            found.add(kind, other.result())
        _name_policies(found)
        _download_links(attackers[0], found)
        _exhaust(site, attackers, neighbour, found, pool)
        if PAGE and WHOLE:
            Path(PAGE).write_text(page({kind: found.records[kind] for kind in KINDS}))
        for kind in KINDS:
            opened = [name for name, record in found.records[kind].items() if record["outcome"] == OPEN]
            progress.say(f"  {kind}: {len(found.records[kind])} attempts, open: {', '.join(opened) or 'none'}")
        yield found


def _without_egress(neighbour: Runtime, aims: Sequence[str]) -> list[dict[str, Any]]:
    pod = neighbour.object()["status"]["podName"]
    command = ("exec", "--stdin", pod, "--container", CONTAINER, "--", SDK_PYTHON, "-I", "-")
    given = PROGRAM.read_text()
    return records(neighbour.site.release.kubectl(*command, "--groups", "network", *aims, stdin=given))


def _on_the_node(aims: Sequence[str]) -> list[dict[str, Any]]:
    """From where no policy applies."""
    only = [word for name in TARGETS for word in ("--only", f"connect to: {name}")]
    enter = Namespace(State.from_environment().namespace).enter
    return _ran([*enter, sys.executable, "-I", str(PROGRAM), "--groups", "network", *aims, *only])


def _name_policies(found: Seen) -> None:
    """Say what stops the connections that are possible from where no policy applies."""
    for kind in (DEFAULT, GVISOR, WEAKEST, NO_EGRESS):
        for name in TARGETS:
            record = found.records[kind][f"connect to: {name}"]
            if record["outcome"] == STOPPED and found.outcome(NODE, record["name"]) == OPEN:
                record["by"] = "NetworkPolicy"


def _ran(command: Sequence[str], **environment: str) -> list[dict[str, Any]]:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env={**os.environ, **environment})
    assert done.returncode == 0, done.stderr[-2000:]
    return records(done.stdout)


def _download_links(attacker: Attacker, found: Seen) -> None:
    for link in LINKS:
        answer = attacker.runtime.agent.get("/api/file/download", params={"path": link})
        found.downloads[link] = (answer.text.strip(), attacker.runtime.run("cat /etc/hostname").strip())


def _exhaust(
    site: Site, attackers: Sequence[Attacker], neighbour: Runtime, found: Seen, pool: ThreadPoolExecutor
) -> None:
    """First the class default alone, while the neighbour is asked; then the others at the same time, if at all."""
    first, *others = attackers
    last = "disk"
    names = [name for name in ATTEMPTS["exhaustion"] if name != last]
    parts = urlsplit(site.url)
    _, url, key = first.runtime.identity
    flood = [sys.executable, "-I", str(PROGRAM), *BOUNDS, "--target", f"gateway={parts.hostname}:{parts.port}"]
    flood += ["--host", urlsplit(url).netloc, "--groups", "flood", "--hold", "3"]
    with asked(neighbour, found.samples):
        _rest(found, 2)
        for name in names:
            found.add(first.kind, [first.exhaust(name)])
            if name == "output that fills the node's disk":
                _rotated(first, found)
            _rest(found, 1)
        for name in FLOOD:
            found.add(OUTSIDE, _ran([*flood, "--only", name], SESSION_API_KEY=key))
            _rest(found, 1)
        _filled_disk(first, found)
        _rest(found, 1)

    def all_of(attacker: Attacker) -> None:
        for name in names:
            found.add(attacker.kind, [attacker.exhaust(name)])
            if name == "output that fills the node's disk":
                _rotated(attacker, found)
        _filled_disk(attacker, found)

    if WHOLE:
        list(pool.map(all_of, others))


def _rest(found: Seen, seconds: float) -> None:
    # What the attempt has left is not quiet yet: children that end, connections that close.
    time.sleep(0.5)
    begun = time.time()
    time.sleep(seconds)
    found.quiet.append((begun, time.time()))


def _rotated(attacker: Attacker, found: Seen) -> None:
    """The kubelet begins a new file. It keeps the full one, whatever its size, which counts as ephemeral storage."""
    record = found.records[attacker.kind]["output that fills the node's disk"]
    if record["outcome"] != OPEN:
        return
    metadata = attacker.pod()["metadata"]
    directory = State.from_environment().logs / "pods" / f"{metadata['namespace']}_{metadata['name']}_{metadata['uid']}"
    rotated = eventually(lambda: [*directory.glob(f"{CONTAINER}/*.log.*")], bool)
    by = "rotation, limit of ephemeral storage"
    record |= {"outcome": CONTAINED, "by": by, "detail": f"{record['detail']}, {rotated[0].name}"}


def _filled_disk(attacker: Attacker, found: Seen) -> None:
    """The kubelet evicts the pod, and with it the program."""
    pod = attacker.pod()["metadata"]
    program = f"{attacker.python} attempts.py {' '.join(BOUNDS)} --groups exhaustion --only disk"
    begun = time.time()
    attacker.runtime.run(f"nohup {program} > disk.log 2>&1 < /dev/null & true")
    loss = eventually(
        lambda: attacker.runtime.object()["status"].get("lastLoss", {}), lambda loss: loss.get("podUID") == pod["uid"]
    )
    record = {"group": "exhaustion", "name": "disk", "outcome": CONTAINED, "by": f"eviction, {loss['reason']}"}
    found.add(attacker.kind, [{**record, "detail": loss["message"], "begun": begun, "ended": time.time()}])


# --- What is claimed


@pytest.mark.parametrize("kind", KINDS)
def test_each_attempt_ends_as_expected(kind: str, seen: Seen) -> None:
    left = {} if WHOLE or kind == DEFAULT else EXHAUSTION
    expected = {name: outcome for name, outcome in expectations(kind).items() if name not in left}
    assert differences(seen.records[kind], expected) == []


def test_a_side_container_has_no_secrets_from_the_sandbox(seen: Seen) -> None:
    # A class's administrator has to know: the threat model says so.
    record = seen.records[WEAKEST]["read memory, environment and files of side containers"]
    assert "OF_A_SIDE_CONTAINER" in record["detail"]


def test_what_is_stopped_by_policies_can_be_reached_without_them(seen: Seen) -> None:
    reached = {name for name in TARGETS if seen.outcome(NODE, f"connect to: {name}") == OPEN}
    assert reached == set(TARGETS) - NOBODY_LISTENS


@pytest.mark.parametrize("name", [*ATTEMPTS["exhaustion"], *FLOOD])
def test_a_neighbour_does_not_notice(name: str, seen: Seen) -> None:
    record = seen.records[OUTSIDE if name in FLOOD else DEFAULT][name]
    meanwhile = [seconds for at, seconds in seen.samples if record["begun"] <= at <= record["ended"]]
    assert meanwhile
    assert max(meanwhile) < math.inf, "the neighbour did not answer"
    if not WHOLE:
        return
    ratio = slowdown(seen.samples, seen.quiet, (record["begun"], record["ended"]))
    allowed = ALLOWED_WHILE_BUSY if name == "processor time" else ALLOWED
    assert ratio <= allowed, f"p99 is {ratio:.2f} times that of quiet times"


def test_a_download_follows_no_link_out_of_the_pod(seen: Seen) -> None:
    assert set(seen.downloads) == set(LINKS)
    for link, (downloaded, own) in seen.downloads.items():
        assert downloaded == own != Path("/etc/hostname").read_text().strip(), link
