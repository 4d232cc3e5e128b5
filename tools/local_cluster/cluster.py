"""The whole cluster: starts it, shows its state, stops it."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from local_cluster import (
    build,
    components,
    dns,
    egress,
    images,
    kubeconfig,
    network,
    node,
    packages,
    pki,
    registry,
    remains,
    storage,
)
from local_cluster.api import Api, answers
from local_cluster.daemons import PATH, Daemon, Daemons
from local_cluster.errors import ClusterError
from local_cluster.kubectl import apply
from local_cluster.locks import locked
from local_cluster.network import NODE_ADDRESS, Namespace
from local_cluster.paths import STATE_VARIABLE, State, cache_dir
from local_cluster.pki import Pki
from local_cluster.progress import Progress

API_PORT = 6443
DAEMONS = (
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "containerd",
    "kubelet",
    "kube-proxy",
    "kube-router",
)
NODE = f"/api/v1/nodes/{node.NODE_NAME}"
DEFAULT_ACCOUNT = "/api/v1/namespaces/default/serviceaccounts/default"
# The kernel allows 107 characters for a Unix socket; the longest path below the state directory needs 40 of them.
LONGEST_STATE_PATH = 60
# Seconds; each part takes a few on an idle machine.
READY_TIMEOUT = 120


@dataclass(frozen=True)
class Check:
    """One part of the cluster, whether it works, and where to look if it does not."""

    name: str
    ok: bool
    detail: str = ""


class Cluster:
    """The cluster of one state directory. Raises ClusterError on a machine where it cannot run."""

    def __init__(self, state: State) -> None:
        _check_machine(state)
        self.state = state
        self.namespace = Namespace(state.namespace)
        self.pki = Pki(state.pki)
        self.server = components.ApiServer(
            address=NODE_ADDRESS,
            port=API_PORT,
            pki=self.pki,
            etcd_socket=state.root / "client",
            audit_policy=state.config / "audit-policy.yaml",
            audit_log=state.audit_log,
        )
        self._daemons = Daemons(
            logs=state.logs,
            pids=state.pids,
            prefix=self.namespace.enter,
            remedy="read the log, correct what it names, then: tools/local-cluster up (after `down` for a new cluster)",
        )

    def up(self, progress: Progress, *, way_out: bool = False) -> bool:
        """Start the cluster. Returns False when it was already running.

        Daemons that have ended are started again, with the existing objects, pods and volumes. A cluster that cannot
        continue (after a restart of the machine, or with other binaries) is removed and made anew.
        """
        with _alone():
            well = all(check.ok for check in self.checks())
            whole = well or self._whole()
            if whole and egress.record(self.state).exists() != way_out:
                raise ClusterError(
                    f"the cluster runs {'without' if way_out else 'with'} a way out for pods",
                    remedy="run `tools/local-cluster down` first",
                )
            if well:
                return False
            packages.ensure(cache_dir() / "apt.log", progress)
            build.ensure(build.CLUSTER_FAMILIES, progress)
            if not whole:
                if left := remains.leftovers(self.state):
                    with progress.step(f"clear the remains of an earlier cluster ({len(left)} pieces)"):
                        remains.clear(self.state)
                network.guard_host()
                with progress.step("network namespace and certificates"):
                    self._prepare(way_out=way_out)
            self._start(progress)
            with progress.step("CoreDNS, local-path-provisioner"):
                if not whole:
                    self._install()
                for deployment in (dns.DEPLOYMENT, storage.DEPLOYMENT):
                    self._await_rollout(deployment)
            self._mark(complete=True)
            return True

    def down(self, progress: Progress) -> bool:
        """Stop and remove the cluster, in any state. Returns False when there was nothing."""
        with _alone():
            if not remains.leftovers(self.state):
                return False
            with progress.step("take the cluster down"):
                remains.clear(self.state)
            if left := remains.leftovers(self.state):
                raise ClusterError("these are left:\n" + "\n".join(f"  {line}" for line in left))
            return True

    @property
    def registry(self) -> registry.Registry:
        """The registry of this cluster, which runs once it is started."""
        return registry.Registry(self.state, self.pki, self._daemons)

    def checks(self) -> list[Check]:
        """The state of every part. Without a cluster, no part is ok."""
        checks = [Check(name, self._daemons.alive(name), f"log: {self._daemons.log(name)}") for name in DAEMONS]
        if not all(check.ok for check in checks):
            return checks
        api = self._api()
        return [
            *checks,
            Check("API server ready", api.ready(), self.server.url),
            Check(f"node {node.NODE_NAME} Ready", api.condition(NODE, "Ready"), "kubectl describe node"),
            Check("service rules written", _proxy_ready(), f"log: {self._daemons.log('kube-proxy')}"),
            Check("policies enforced", self._enforces_policies(), f"log: {self._daemons.log('kube-router')}"),
            Check("DNS available", api.condition(dns.DEPLOYMENT, "Available"), "kubectl -n kube-system get pods"),
            Check(
                "volume provisioner available",
                api.condition(storage.DEPLOYMENT, "Available"),
                f"kubectl -n {storage.NAMESPACE} get pods",
            ),
        ]

    def load_image(self, archive: Path) -> list[str]:
        """Import a docker-archive into the node. Returns the images' names, none when the node has them already."""
        return images.load(self.state, archive)

    def set_dns(self, wildcard: dns.Wildcard | None) -> None:
        """Configure cluster DNS with this wildcard domain, or without one, and wait for it."""
        self._apply(self._dns(wildcard))
        self._await_rollout(dns.DEPLOYMENT)

    def _dns(self, wildcard: dns.Wildcard | None) -> list[Mapping[str, Any]]:
        upstreams = dns.upstreams(egress.resolv_conf()) if egress.record(self.state).exists() else []
        return dns.manifests(dns.corefile(wildcard, upstreams), images.COREDNS.reference)

    def _whole(self) -> bool:
        """Whether all data of a cluster of exactly these binaries exists."""
        try:
            made = json.loads(self.state.marker.read_text())
        except (FileNotFoundError, json.JSONDecodeError):  # none, or killed while it was written
            return False
        return made == self._made(complete=True) and self.state.namespace in remains.mounts(self.state)

    def _mark(self, *, complete: bool) -> None:
        self.state.marker.write_text(json.dumps(self._made(complete=complete)))

    def _made(self, *, complete: bool) -> Mapping[str, Any]:
        return {"binaries": [build.directory(name).name for name in build.CLUSTER_FAMILIES], "complete": complete}

    def _start(self, progress: Progress) -> None:
        """Start the daemons that do not run, and wait for all."""
        with progress.step("etcd"):
            self._launch(
                "etcd",
                components.etcd_command(build.binary("etcd"), self.state.root / "etcd", self.state.root),
                socket=self.server.etcd_socket,
            )
            self._daemons.await_ready("etcd", self.server.etcd_socket.exists, timeout=READY_TIMEOUT)
        with progress.step("kube-apiserver, containerd"):
            self._launch("kube-apiserver", components.apiserver_command(build.binary("kube-apiserver"), self.server))
            self._start_containerd()
            self._daemons.await_ready("containerd", self.state.containerd_socket.exists, timeout=READY_TIMEOUT)
            for image in images.NODE_IMAGES:
                self.load_image(image.archive())
            self._daemons.await_ready("kube-apiserver", self._api().ready, timeout=READY_TIMEOUT)
            self._apply(components.ACCESS)
        with progress.step("kube-controller-manager, kube-scheduler, kubelet, kube-proxy, kube-router"):
            self._start_rest()
            api, kubelet = self._api(), Api(f"https://{NODE_ADDRESS}:{node.KUBELET_PORT}", self.pki)
            # The node of a killed kubelet stays Ready until the node controller notices its silence.
            self._daemons.await_ready("kubelet", kubelet.healthy, timeout=READY_TIMEOUT)
            self._daemons.await_ready("kubelet", lambda: api.condition(NODE, "Ready"), timeout=READY_TIMEOUT)
            self._daemons.await_ready("kube-proxy", _proxy_ready, timeout=READY_TIMEOUT)
            # It looks for its node once, when it starts.
            self._launch("kube-router", node.policies_command(build.binary("kube-router"), self.state))
            self._daemons.await_ready("kube-router", self._enforces_policies, timeout=READY_TIMEOUT)
            self._daemons.await_ready(
                "kube-controller-manager",
                lambda: api.get(DEFAULT_ACCOUNT),
                timeout=READY_TIMEOUT,
                what="the default service account does not exist",
            )

    def _enforces_policies(self) -> bool:
        """Whether kube-router is well, and has written its rules: it says that it is well before that."""
        well = answers(f"http://{NODE_ADDRESS}:{node.POLICIES_HEALTH_PORT}/healthz")
        return well and "KUBE-ROUTER-FORWARD" in self.namespace.run(["iptables", "-w", "-S", "FORWARD"])

    def _install(self) -> None:
        """The contents of every cluster: DNS, volumes, and the runtime class of gVisor."""
        volumes = storage.manifests(
            self.state.volumes, image=images.PROVISIONER.reference, helper_image=images.VOLUME_HELPER.reference
        )
        self._apply([node.GVISOR_CLASS, *volumes, *self._dns(None)])

    def _await_rollout(self, deployment: str) -> None:
        api = self._api()
        what = f"{deployment.rpartition('/')[2]} is not available (its own log: {self.state.logs / 'pods'})"
        self._daemons.await_ready("kubelet", lambda: _rolled_out(api, deployment), timeout=READY_TIMEOUT, what=what)

    def _prepare(self, *, way_out: bool) -> None:
        """Make everything that the first daemon needs."""
        state = self.state
        state.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._mark(complete=False)
        network.create(self.namespace)
        if way_out:
            egress.enable(state, self.namespace)
        self.pki.create(
            [
                pki.apiserver([NODE_ADDRESS, components.SERVICE_IP]),
                pki.kubelet_serving(node.NODE_NAME, NODE_ADDRESS),
                pki.KUBELET_CLIENT,
                pki.registry(NODE_ADDRESS),
                *_clients().values(),
            ]
        )
        hosts = state.registry_hosts / registry.AUTHORITY
        for directory in (state.config, state.config / "cni", state.registry_hosts, hosts, state.logs, state.kubelet):
            directory.mkdir()
        for name, identity in _clients().items():
            kubeconfig.write(self._kubeconfig(name), self.server.url, self.pki, identity)
        cni = packages.cni_plugins()
        assert cni is not None  # installed by packages.ensure
        files = {
            state.config / "audit-policy.yaml": yaml.safe_dump(components.AUDIT_POLICY),
            state.config / "containerd.toml": node.containerd_config(
                state, sandbox_image=images.PAUSE.reference, cni_plugins=cni
            ),
            hosts / "hosts.toml": registry.hosts_toml(self.pki),
            state.config / "runsc.toml": node.runsc_config(state),
            state.config / "cni" / "10-bridge.conflist": json.dumps(
                node.cni_config(state, has_ipv6=Path("/proc/sys/net/ipv6").exists()), indent=2
            ),
            state.config / "kubelet.yaml": yaml.safe_dump(node.kubelet_config(state)),
            state.config / "kube-proxy.yaml": yaml.safe_dump(node.proxy_config(state)),
        }
        for path, text in files.items():
            path.write_text(text)

    def _start_containerd(self) -> None:
        folder = build.directory("containerd")
        self._launch(
            "containerd",
            [str(folder / "containerd"), "--config", str(self.state.config / "containerd.toml")],
            path=f"{folder}:{build.directory('gvisor')}:{PATH}",  # it starts its shims by name, and they runsc
            socket=self.state.containerd_socket,
        )

    def _start_rest(self) -> None:
        self._launch(
            "kube-controller-manager",
            components.controller_manager_command(
                build.binary("kube-controller-manager"),
                self._kubeconfig("controller-manager"),
                self.pki,
                [
                    "--allocate-node-cidrs",
                    f"--cluster-cidr={network.POD_CIDR}",
                    # It creates this directory at any configured path.
                    f"--flex-volume-plugin-dir={self.state.kubelet / 'plugins-exec'}",
                ],
            ),
        )
        scheduler = self._kubeconfig("scheduler")
        self._launch("kube-scheduler", components.scheduler_command(build.binary("kube-scheduler"), scheduler))
        self._launch("kubelet", node.kubelet_command(build.binary("kubelet"), self.state))
        proxy = [str(build.binary("kube-proxy")), f"--config={self.state.config / 'kube-proxy.yaml'}"]
        self._launch("kube-proxy", proxy)

    def _launch(self, name: str, command: Sequence[str], *, path: str = PATH, socket: Path | None = None) -> None:
        """Start a daemon unless it runs. `socket` is where it listens; the socket of a killed daemon is removed."""
        if self._daemons.alive(name):
            return
        if socket is not None:
            socket.unlink(missing_ok=True)
        self._daemons.start(Daemon(name, command, {"PATH": path}))

    def _kubeconfig(self, name: str) -> Path:
        return self.state.kubeconfig if name == "admin" else self.state.config / f"{name}.kubeconfig"

    def _apply(self, objects: Sequence[Mapping[str, Any]]) -> None:
        apply(self.state.kubeconfig, NODE_ADDRESS, objects)

    def _api(self) -> Api:
        return Api(self.server.url, self.pki)


def _check_machine(state: State) -> None:
    """Raises ClusterError on a machine where a cluster cannot run."""
    instead = (
        "run it as root on Linux, use kind (kind-config.yaml), or use the current kubectl context: CLUSTER=current"
    )
    if sys.platform != "linux":
        raise ClusterError("the local cluster runs on Linux only", remedy=instead)
    if os.geteuid() != 0:
        raise ClusterError(
            "the local cluster needs root: it makes network namespaces, mounts and cgroups", remedy=instead
        )
    if len(str(state.root)) > LONGEST_STATE_PATH:
        raise ClusterError(
            f"{state.root} is too long a path for Unix sockets below it",
            remedy=f"name a path of at most {LONGEST_STATE_PATH} characters in {STATE_VARIABLE}",
        )


def _clients() -> dict[str, pki.Identity]:
    return {
        identity.name: identity
        for identity in (
            pki.ADMIN,
            pki.CONTROLLER_MANAGER,
            pki.SCHEDULER,
            pki.PROXY,
            pki.POLICIES,
            pki.kubelet(node.NODE_NAME),
        )
    }


def _proxy_ready() -> bool:
    """Whether kube-proxy has written its rules at least once."""
    return answers(f"http://{NODE_ADDRESS}:{node.PROXY_HEALTH_PORT}/healthz")


def _rolled_out(api: Api, path: str) -> bool:
    """Whether the Deployment runs with its newest configuration only."""
    deployment = api.get(path)
    if deployment is None:
        return False
    status, wanted = deployment.get("status", {}), deployment["spec"]["replicas"]
    return (
        status.get("observedGeneration") == deployment["metadata"]["generation"]
        and status.get("updatedReplicas") == status.get("availableReplicas") == status.get("replicas") == wanted
    )


def _alone() -> AbstractContextManager[None]:
    """A lock: only one process works on the cluster at a time."""
    return locked(cache_dir() / "cluster.lock")
