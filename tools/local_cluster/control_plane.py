"""A bare control plane for tests: etcd and kube-apiserver on loopback, started in seconds, without root."""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import yaml

from local_cluster import build, components, kubeconfig, pki
from local_cluster.api import Api
from local_cluster.daemons import Daemon, Daemons
from local_cluster.pki import Pki
from local_cluster.ports import ADDRESS, free_port
from local_cluster.processes import Process
from local_cluster.progress import Progress

# The daemons must not outlive a test run that is killed. The signal comes when the *thread* that started them ends,
# so start a control plane from a thread that lives as long as it is needed.
DIE_WITH_PARENT = ("setpriv", "--pdeathsig", "KILL", "--")


class ControlPlane:
    """A running control plane with RBAC and an audit log. It has no kubelets, so no pod ever runs.

    The environment variable KUBERNETES chooses an older version (`build.OLDER_KUBERNETES`); etcd stays the same.

    `controller_manager` adds kube-controller-manager, for garbage collection and namespace deletion, with
    `manager_flags`; `scheduler` adds kube-scheduler, for simulated nodes, with `scheduler_flags`. `server_flags` are
    those of kube-apiserver, `etcd_flags` those of etcd.
    Use it as a context manager, or call `stop`. Raises ClusterError when a part does not start.
    """

    def __init__(
        self,
        *,
        controller_manager: bool = False,
        manager_flags: Sequence[str] = (),
        scheduler: bool = False,
        scheduler_flags: Sequence[str] = (),
        server_flags: Sequence[str] = (),
        etcd_flags: Sequence[str] = (),
        progress: Progress | None = None,
    ) -> None:
        self._family = build.kubernetes()
        build.ensure(sorted({"kubernetes", self._family}), progress or Progress())
        # Not below a test's own directory: the paths of Unix sockets may have 107 characters at most.
        self.directory = Path(tempfile.mkdtemp(prefix="control-plane-"))
        self._certificates = Pki(self.directory / "pki")
        self._daemons = Daemons(
            logs=self.directory / "logs",
            pids=self.directory / "pids",
            prefix=DIE_WITH_PARENT,
            remedy="read the log; if another process took a port meanwhile, try again",
        )
        self._controllers: list[Daemon] = []
        try:
            self._start(server_flags, etcd_flags)
            if controller_manager:
                self._start_controller_manager(manager_flags)
            if scheduler:
                self._start_scheduler(scheduler_flags)
        except BaseException:
            # The logs stay, since the error names them.
            self._daemons.stop_all()
            raise

    def _start(self, server_flags: Sequence[str], etcd_flags: Sequence[str]) -> None:
        certificates = self._certificates
        # A test may play a node that the API server asks for logs.
        node = pki.kubelet_serving("log-node", "127.0.0.1")
        users = (pki.ADMIN, pki.CONTROLLER_MANAGER, pki.SCHEDULER, pki.KUBELET_CLIENT)
        certificates.create([pki.apiserver([]), node, *users])
        server = components.ApiServer(
            address=ADDRESS,
            port=free_port(),
            pki=certificates,
            etcd_socket=self.directory / "client",
            audit_policy=self.directory / "audit-policy.yaml",
            audit_log=self.directory / "logs" / "audit.log",
        )
        self.url = server.url
        self.audit_log = server.audit_log
        server.audit_policy.write_text(yaml.safe_dump(components.AUDIT_POLICY))
        self.kubeconfig = kubeconfig.write(self.directory / "kubeconfig", server.url, certificates, pki.ADMIN)

        etcd = components.etcd_command(build.binary("etcd"), self.directory / "etcd", self.directory, etcd_flags)
        self._daemons.start(Daemon("etcd", etcd))
        self._daemons.await_ready("etcd", server.etcd_socket.exists, timeout=30)
        # A loopback address cannot be an endpoint of the `kubernetes` Service.
        command = components.apiserver_command(
            build.binary("kube-apiserver", self._family), server, ["--endpoint-reconciler-type=none", *server_flags]
        )
        self._server = Daemon("kube-apiserver", command)
        self._start_server()

    def _start_server(self) -> None:
        self._daemons.start(self._server)
        self._daemons.await_ready(self._server.name, Api(self.url, self._certificates).ready, timeout=60)

    def restart_server(self) -> None:
        """End the API server, and so all connections to it, and start it again at the same port.

        Call it from a thread that lives as long as the control plane is needed.
        """
        self._daemons.stop(self._server.name)
        self._start_server()

    def _start_controller_manager(self, flags: Sequence[str]) -> None:
        name = "kube-controller-manager"
        config = self._kubeconfig(pki.CONTROLLER_MANAGER)
        command = components.controller_manager_command(
            build.binary(name, self._family), config, self._certificates, flags
        )
        self._start_controller(Daemon(name, command))

    def _start_scheduler(self, flags: Sequence[str]) -> None:
        name = "kube-scheduler"
        command = components.scheduler_command(build.binary(name, self._family), self._kubeconfig(pki.SCHEDULER), flags)
        self._start_controller(Daemon(name, command))

    def _start_controller(self, daemon: Daemon) -> None:
        self._controllers.append(daemon)
        self._daemons.start(daemon)

    def revive_controllers(self) -> list[str]:
        """Start controllers that have ended by themselves again, as a kubelet does. Returns their names.

        kube-scheduler ends itself if its cache contradicts the API server, as after an answer that was lost
        (Kubernetes 1.36, pkg/scheduler/backend/cache/cache.go). Call this from a thread like `restart_server`.
        """
        ended = [daemon for daemon in self._controllers if not self._daemons.alive(daemon.name)]
        for daemon in ended:
            self._daemons.start(daemon)
        return [daemon.name for daemon in ended]

    def _kubeconfig(self, identity: pki.Identity) -> Path:
        return kubeconfig.write(self.directory / f"{identity.name}.kubeconfig", self.url, self._certificates, identity)

    def processes(self) -> dict[str, Process]:
        """Its processes by the names of the commands."""
        return self._daemons.recorded()

    def stop(self) -> None:
        """End the processes and remove their files. Calling it again does nothing."""
        self._daemons.stop_all()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
