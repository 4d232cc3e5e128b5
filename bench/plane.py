"""A real control plane with simulated nodes that have room for thousands of pods, and operator and gateway on it."""

import secrets
import tempfile
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.agents import StubAgents
from bench.processes import Measured
from control_plane.cluster_scope import connected, fresh_namespace, install_custom_resources
from control_plane.gateway.support import add_api_key
from control_plane.naming import NAMING
from local_cluster.audit_log import BY_CLOCK, events, request_kind, tally
from local_cluster.control_plane import ControlPlane
from local_cluster.ports import free_port
from local_cluster.progress import Progress
from local_cluster.simulated_nodes import SimulatedNodes, node
from sandbox_common.keys import NAMING_KEY
from sandbox_common.kube import KubeClient, KubeObject
from sandbox_common.kube.resources import NODES, SANDBOX_CLASSES

OWNER = "owner-0"
"""The owner of the API key."""

_NODE_COUNT = 9
_PODS_PER_NODE = 2500
_UNLIMITED = ("--kube-api-qps=5000", "--kube-api-burst=5000")
"""The scheduler's own limit of 50 requests a second would be all that is measured."""
_WHOLE_LOG = "--audit-log-maxsize=0"
_DURABLE = "--unsafe-no-fsync=false"
"""Each write reaches the disk before it is answered, as in production."""
_ROOM = f"--quota-backend-bytes={8 * 1024**3}"
"""The most that etcd's documentation recommends; by default it takes no writes beyond 2 GiB."""


class AuditSlice:
    """What the API server has been asked to do since this was made; `path` is its audit log."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._start = path.stat().st_size

    def requests(self, user_agent: str, wanted: Callable[[Mapping[str, Any]], bool]) -> Iterator[KubeObject]:
        """Complete requests whose user agent starts with `user_agent` and that are wanted."""
        mark = f'"userAgent":"{user_agent}'.encode()
        for event in events(self._path, self._start, mark):
            if event["stage"] == "ResponseComplete" and wanted(event):
                yield event

    def tally(self, namespace: str) -> Counter[tuple[str, str]]:
        """All requests in a namespace by who asked and for what."""
        return tally(events(self._path, self._start), namespace)

    def writes(self, user_agent: str) -> list[str]:
        """Like `patch sandboxes/status`: all writes but those by the clock, in order, refused ones included."""
        return [request_kind(event) for event in self.requests(user_agent, _is_write)]


def _is_write(event: Mapping[str, Any]) -> bool:
    target: Mapping[str, str] = event.get("objectRef") or {}
    return event["verb"] not in {"get", "list", "watch"} and target.get("resource") not in {None, *BY_CLOCK}


@dataclass(frozen=True)
class Plane:
    """What a measurement runs on. `logs` is where the processes' logs are."""

    control_plane: ControlPlane
    nodes: SimulatedNodes
    client: KubeClient
    namespace: str
    agents: StubAgents
    master_key_dir: Path
    api_key: str
    logs: Path
    operator_port: int
    gateway_port: int
    """The gateway's port for clients."""
    probes_port: int
    """The gateway's port of probes and reports."""

    async def operator(self) -> Measured:
        """Start an operator; it may not be ready yet."""
        return await Measured.start(
            "sandbox-operator",
            self.operator_port,
            self.logs / "operator.log",
            *self.common(),
            f"--gateway-peers=127.0.0.1:{self.probes_port}",
        )

    async def gateway(self, *arguments: str) -> Measured:
        """Start a gateway; it may not be ready yet."""
        return await Measured.start(
            "sandbox-gateway",
            self.probes_port,
            self.logs / "gateway.log",
            *self.common(),
            f"--listen-port={self.gateway_port}",
            *arguments,
        )

    async def set_class(self, spec: Mapping[str, Any]) -> None:
        """Give the SandboxClass `default` this spec instead of the one that it has."""
        old = await self.client.get(SANDBOX_CLASSES, self.namespace, "default")
        cleared: dict[str, Any] = dict.fromkeys(old["spec"])
        await self.client.patch(SANDBOX_CLASSES, self.namespace, "default", {"spec": {**cleared, **spec}})

    def audit(self) -> AuditSlice:
        """From now on."""
        return AuditSlice(self.control_plane.audit_log)

    def common(self, kubeconfig: Path | None = None) -> tuple[str, ...]:
        """The arguments that operators and gateways share; `kubeconfig` may lead another way to the API server."""
        return (
            f"--kubeconfig={kubeconfig or self.control_plane.kubeconfig}",
            f"--namespace={self.namespace}",
            f"--master-key-dir={self.master_key_dir}",
        )


@asynccontextmanager
async def plane(
    progress: Progress,
    agents: type[StubAgents] = StubAgents,
    behaviour: Sequence[dict[str, Any]] = (),
    manager_flags: Sequence[str] = (),
    **class_spec: Any,
) -> AsyncGenerator[Plane]:
    """A running one with a SandboxClass `default` of these fields; all of it is gone afterwards.

    `agents` answer in place of the agent servers. `behaviour` is that of the simulated nodes, `manager_flags` are
    those of kube-controller-manager.
    """
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as directory,
        ControlPlane(
            controller_manager=True,
            manager_flags=[*_UNLIMITED, *manager_flags],
            scheduler=True,
            scheduler_flags=_UNLIMITED,
            server_flags=[_WHOLE_LOG],
            etcd_flags=[_DURABLE, _ROOM],
            progress=progress,
        ) as control_plane,
        SimulatedNodes(control_plane, "bench", progress, behaviour) as nodes,
    ):
        master_key_dir = _master_key(Path(directory))
        async with connected(control_plane) as client, agents.listening() as listening:
            await install_custom_resources(client)
            for number in range(_NODE_COUNT):
                room = node(f"node-{number}", "bench", cpu="100k", memory="1Pi", pods=_PODS_PER_NODE)
                await client.create(NODES, "", room)
            async with fresh_namespace(client) as namespace:
                body = {"apiVersion": SANDBOX_CLASSES.api_version, "kind": SANDBOX_CLASSES.kind}
                body |= {"metadata": {"name": "default"}, "spec": class_spec}
                await client.create(SANDBOX_CLASSES, namespace, body)
                api_key = secrets.token_hex(16)
                await add_api_key(client, namespace, api_key, OWNER)
                yield Plane(
                    control_plane,
                    nodes,
                    client,
                    namespace,
                    listening,
                    master_key_dir,
                    api_key,
                    Path(directory),
                    operator_port=free_port(),
                    gateway_port=free_port(),
                    probes_port=free_port(),
                )


def _master_key(directory: Path) -> Path:
    made = directory / "master"
    made.mkdir()
    (made / "v1").write_text(secrets.token_hex(32))
    (made / NAMING_KEY).write_bytes(NAMING)
    return made
