"""Builds the cluster's binaries from the Go modules in `tools/`, and keeps them in the cache."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from threading import Event

from local_cluster.errors import ClusterError, tail
from local_cluster.locks import locked
from local_cluster.paths import TOOLS, cache_dir
from local_cluster.progress import Progress

OLDER_KUBERNETES = ("1.30", "1.33")
"""On which the control-plane tier can run besides the newest: the oldest that the chart allows, and one between."""
KUBERNETES_VARIABLE = "KUBERNETES"
"""One of these, for `ControlPlane`. Empty: the newest."""


@dataclass(frozen=True)
class Family:
    """The binaries of one Go module.

    `version_of` is the required module whose version goes into the variables `stamp` by linker flag: binaries built
    from a module proxy know no git tag. `renames` maps the name Go gives a binary to the usual one. The families of one
    `track` require the same versions of what several of them import, so the second one finds most packages compiled.
    """

    name: str
    binaries: tuple[str, ...]
    version_of: str = ""
    stamp: tuple[str, ...] = ()
    renames: Mapping[str, str] = field(default_factory=dict[str, str])
    packages: Sequence[str] = ("tool",)
    track: str = "libraries"

    @property
    def source(self) -> Path:
        return TOOLS / self.name


_KUBERNETES = "k8s.io/kubernetes"
_KUBERNETES_STAMP = ("k8s.io/component-base/version.gitVersion", "k8s.io/client-go/pkg/version.gitVersion")

FAMILIES: Mapping[str, Family] = {
    family.name: family
    for family in (
        Family(
            "kubernetes",
            (
                "etcd",
                "kube-apiserver",
                "kube-controller-manager",
                "kube-proxy",
                "kube-scheduler",
                "kubectl",
                "kubelet",
            ),
            version_of=_KUBERNETES,
            stamp=_KUBERNETES_STAMP,
            renames={"server": "etcd"},
            track="kubernetes",
        ),
        *(
            Family(
                f"kubernetes-{version}",
                ("kube-apiserver", "kube-controller-manager", "kube-scheduler"),
                version_of=_KUBERNETES,
                stamp=_KUBERNETES_STAMP,
                track=f"kubernetes-{version}",
            )
            for version in OLDER_KUBERNETES
        ),
        Family(
            "containerd",
            ("containerd", "containerd-shim-runc-v2", "ctr"),
            version_of="github.com/containerd/containerd/v2",
            stamp=("github.com/containerd/containerd/v2/version.Version",),
        ),
        Family("coredns", ("coredns",)),
        Family(
            "helm",
            ("helm",),
            version_of="helm.sh/helm/v4",
            stamp=("helm.sh/helm/v4/internal/version.version",),
        ),
        Family(
            "helm3",
            ("helm3",),
            version_of="helm.sh/helm/v3",
            stamp=("helm.sh/helm/v3/internal/version.version",),
            renames={"helm": "helm3"},
        ),
        Family("local-path-provisioner", ("local-path-provisioner",)),
        Family("pause", ("pause",), packages=(".",)),
        Family("volume-helper", ("volume-helper",), packages=(".",)),
        Family(
            "kube-router",
            ("kube-router",),
            version_of="github.com/cloudnativelabs/kube-router/v2",
            stamp=("github.com/cloudnativelabs/kube-router/v2/pkg/version.Version",),
        ),
        Family(
            "gvisor",
            ("runsc", "containerd-shim-runsc-v1"),
            packages=(".", "tool"),
            renames={"gvisor": "containerd-shim-runsc-v1"},
        ),
        Family("etcd-tools", ("etcdctl", "etcdutl")),
        Family("kwok", ("kwok",)),
        Family("kind", ("kind",)),
        Family(
            "kubeadm",
            ("kubeadm",),
            version_of=_KUBERNETES,
            stamp=_KUBERNETES_STAMP,
            track="kubernetes",
        ),
        Family("registry", ("registry",), packages=(".",)),
        Family("light-agent", ("light-agent",), packages=(".",)),
        Family(
            "traefik",
            ("traefik",),
            version_of="github.com/traefik/traefik/v3",
            stamp=("github.com/traefik/traefik/v3/pkg/version.Version",),
            track="kubernetes",
        ),
        Family("cyclonus", ("cyclonus",), packages=(".",)),
    )
}

# What a cluster needs, the longest build first. Built on demand: etcd's tools (snapshots), kwok (simulated nodes),
# cyclonus (simulated NetworkPolicies), Helm 3, kind, kubeadm, the registry, Traefik, and the light agent server of
# measurements.
CLUSTER_FAMILIES = (
    "kubernetes",
    "containerd",
    "coredns",
    "helm",
    "kube-router",
    "gvisor",
    "local-path-provisioner",
    "pause",
    "volume-helper",
)


def directory(name: str) -> Path:
    """The cache directory for the family's binaries. Its name depends on everything that they are built from."""
    family = FAMILIES[name]
    digest = hashlib.sha256(repr((go_version(family.source), _arguments(family))).encode())
    for file in sorted(path for path in family.source.rglob("*") if path.is_file()):
        digest.update(str(file.relative_to(family.source)).encode() + b"\0" + file.read_bytes() + b"\0")
    return cache_dir() / "bin" / f"{name}-{digest.hexdigest()[:16]}"


def kubernetes() -> str:
    """The family whose control plane KUBERNETES_VARIABLE asks for. Raises ClusterError for an unknown version."""
    version = os.environ.get(KUBERNETES_VARIABLE, "")
    if version and version not in OLDER_KUBERNETES:
        raise ClusterError(
            f"{KUBERNETES_VARIABLE}={version} is not known",
            remedy=f"one of: {', '.join(OLDER_KUBERNETES)}; without it, the newest runs",
        )
    return f"kubernetes-{version}" if version else "kubernetes"


def kubernetes_version() -> tuple[int, int]:
    """Of the control plane that `kubernetes` names, such as (1, 36). Raises as it does."""
    family = FAMILIES[kubernetes()]
    version = required_version((family.source / "go.mod").read_text(), family.version_of)
    major, minor, _ = version.removeprefix("v").split(".", 2)
    return int(major), int(minor)


def binary(name: str, family: str = "") -> Path:
    """The path of a binary, of this family if several have it. Raises ClusterError when it has not been built."""
    family = family or next(family.name for family in FAMILIES.values() if name in family.binaries)
    path = directory(family) / name
    if not path.exists():
        raise ClusterError(f"{name} is not built", remedy=f"tools/local-cluster build {family}")
    return path


def ensure(names: Sequence[str], progress: Progress) -> None:
    """Build the families that are not in the cache. Raises ClusterError with a failed build's log.

    Tracks are built side by side: linking uses one core, so the other track uses the other.
    """
    missing = [FAMILIES[name] for name in names if not directory(name).exists()]
    if not missing:
        return
    tracks = {family.track: [each for each in missing if each.track == family.track] for family in missing}
    progress.say(
        f"Building {', '.join(family.name for family in missing)} from Go modules;"
        " all of them take ten to twenty minutes on two cores, once"
    )
    failed = Event()

    def build(families: Sequence[Family]) -> None:
        for family in families:
            if failed.is_set():  # only the build in progress has continued
                return
            try:
                _build(family, progress)
            except ClusterError:
                failed.set()
                raise

    with ThreadPoolExecutor() as pool:
        for result in as_completed([pool.submit(build, families) for families in tracks.values()]):
            result.result()


def module_source(name: str, module: str) -> Path:
    """The files of `module`, which `tools/NAME/go.mod` pins; downloaded if they are missing. Raises ClusterError."""
    command = [_go(), "mod", "download", "-json", module]
    done = subprocess.run(command, cwd=TOOLS / name, capture_output=True, text=True, env=_environment())
    if done.returncode != 0:
        raise ClusterError(f"{module} cannot be downloaded: {done.stdout.strip()}", remedy="check `go env GOPROXY`")
    return Path(json.loads(done.stdout)["Dir"])


def _build(family: Family, progress: Progress) -> None:
    final = directory(family.name)
    final.parent.mkdir(parents=True, exist_ok=True)
    log = final.parent / f"{final.name}.log"
    with progress.step(f"build {family.name}", lambda: _current(log)), locked(final.parent / f"{family.track}.lock"):
        if final.exists():  # another process built it meanwhile
            return
        with tempfile.TemporaryDirectory(dir=final.parent, prefix=f".{family.name}-") as temporary:
            target = Path(temporary) / "bin"
            target.mkdir()
            command = [_go(), *_arguments(family), "-v", "-o", f"{target}/", *family.packages]
            with log.open("wb") as output:
                code = subprocess.run(command, cwd=family.source, env=_environment(), stdout=output, stderr=output)
            if code.returncode != 0:
                raise ClusterError(f"building {family.name} failed", log=log, remedy=_remedy(log))
            for built, usual in family.renames.items():
                (target / built).rename(target / usual)
            target.rename(final)


def _arguments(family: Family) -> list[str]:
    flags = ["-s", "-w"]
    if family.version_of:
        version = required_version((family.source / "go.mod").read_text(), family.version_of)
        flags += [f"-X {variable}={version}" for variable in family.stamp]
    return ["build", "-trimpath", "-ldflags", " ".join(flags)]


def required_version(go_mod: str, module: str) -> str:
    """The version of `module` in the text of a go.mod. Raises ValueError when it is not required there."""
    found = re.search(rf"^(?:require)?\s+{re.escape(module)} (v\S+)", go_mod, re.MULTILINE)
    if found is None:
        raise ValueError(f"go.mod does not require {module}")
    return found[1]


def _environment() -> dict[str, str]:
    return {**os.environ, "CGO_ENABLED": "0"}


def _go() -> str:
    found = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if found is None:
        wanted = re.search(r"^go (\S+)", (FAMILIES["containerd"].source / "go.mod").read_text(), re.MULTILINE)
        version = wanted[1] if wanted else ""
        raise ClusterError(
            "the Go compiler is missing: no `go` on the PATH",
            remedy=f"install Go {version} or newer (https://go.dev/doc/install)",
        )
    return found


@cache
def go_version(source: Path) -> str:
    """The version that builds this module; a go.mod may make an older `go` switch to a newer toolchain."""
    asked = subprocess.run(
        [_go(), "env", "GOVERSION", "GOARCH"], cwd=source, capture_output=True, text=True, env=_environment()
    )
    if asked.returncode != 0:
        raise ClusterError(f"`go env` failed: {asked.stderr.strip()}", remedy="install the Go version it asks for")
    return asked.stdout


def _current(log: Path) -> str:
    lines = tail(log, 1)
    return lines[0] if lines else "waiting for another build"


def _remedy(log: Path) -> str:
    text = log.read_text(errors="replace")
    if "no space left on device" in text:
        return "free some 15 GB on the disk of the Go build cache (`go env GOCACHE`) and of the cache directory"
    if "dial tcp" in text or "proxy" in text:
        return "the Go module proxy could not be reached: check `go env GOPROXY` and the network, then run it again"
    return "read the log, then run it again; what is compiled stays in Go's own cache"
