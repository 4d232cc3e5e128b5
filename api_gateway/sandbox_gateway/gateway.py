"""One gateway replica: puts its parts together, starts and ends them."""

import asyncio
import tempfile
from pathlib import Path

import structlog

from sandbox_common import collector, logs
from sandbox_common.keys import NAMING_KEY, MasterKeys
from sandbox_common.kube import KubeClient
from sandbox_common.kube.client import CALL_SECONDS
from sandbox_common.kube.requests import request_counter
from sandbox_common.kube.startup import until_known
from sandbox_common.pod_identity import PodIdentities
from sandbox_common.spans import Tracing, tracing_from_environment
from sandbox_gateway.plane import control_plane
from sandbox_gateway.process import descriptors, metrics
from sandbox_gateway.process.activity import Activity
from sandbox_gateway.process.audit_log import AuditLog
from sandbox_gateway.process.certificates import Certificates
from sandbox_gateway.process.internal import ActivityReports
from sandbox_gateway.process.metrics import PREFIX
from sandbox_gateway.process.servers import AppServer, probes_app, tcp_socket, unix_socket
from sandbox_gateway.process.stdout import write_stdout, write_stdout_now
from sandbox_gateway.proxy import listener
from sandbox_gateway.proxy.access_log import RequestLog
from sandbox_gateway.proxy.context import Bounds
from sandbox_gateway.proxy.forwarded import TrustedProxies
from sandbox_gateway.registry.images import Images
from sandbox_gateway.routing.asking import asking
from sandbox_gateway.routing.departures import Departures
from sandbox_gateway.routing.lookup import CacheDirectory
from sandbox_gateway.routing.spans import RequestSpans
from sandbox_gateway.routing.wake import Wakes
from sandbox_gateway.runtime_api.audit import Auditor, RefusedKeys
from sandbox_gateway.runtime_api.streams import Streams
from sandbox_gateway.sandboxes.api import Sandboxes
from sandbox_gateway.sandboxes.api_keys import ApiKeys
from sandbox_gateway.sandboxes.cache import SandboxCache
from sandbox_gateway.sandboxes.classes import SandboxClasses
from sandbox_gateway.sandboxes.health import HealthChecks
from sandbox_gateway.sandboxes.held_calls import HeldCalls
from sandbox_gateway.sandboxes.image_sizes import ImageSizes
from sandbox_gateway.sandboxes.pools import Pools
from sandbox_gateway.sandboxes.pull_secrets import PullSecrets
from sandbox_gateway.sandboxes.starts import Starts
from sandbox_gateway.settings import Settings

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_count_request = request_counter(PREFIX)


class Gateway:
    """One replica, or one worker of it. Must be made inside the event loop. Raises TlsError."""

    def __init__(
        self, settings: Settings, keys: MasterKeys, client: KubeClient, tracing: Tracing | None = None
    ) -> None:
        self._settings = settings
        self._spans = RequestSpans(tracing) if tracing else None
        self._client = client
        self.cache = SandboxCache(client, settings.namespace, keys)
        self.api_keys = ApiKeys(client, settings.namespace)
        self.activity = Activity()
        self.cache.listen(lambda name, sandbox: None if sandbox else self.activity.forget(name))
        self._reports = ActivityReports(self.activity, keys)
        self.classes = SandboxClasses(client, settings.namespace)
        health = HealthChecks()
        self.cache.listen(lambda name, sandbox: None if sandbox else health.forget(name))
        self._held_calls = HeldCalls(self.cache, health, self.classes)
        self._departures = Departures(self.cache)
        # Waking and the API use the same object, so they share reads.
        sandboxes = Sandboxes(client, settings.namespace, self.cache)
        starts = Starts(self.cache, self.classes)
        self._wakes = Wakes(
            sandboxes, self._held_calls, starts, hold_seconds=settings.wake_hold_seconds, tracing=tracing
        )
        self.directory = CacheDirectory(keys, self.cache, self.classes, self._wakes, self.api_keys)
        self.pools = Pools(client, settings.namespace)
        images = Images(settings.image_registries)
        pull_secrets = PullSecrets(client, settings.namespace, self.classes)
        self._image_sizes = ImageSizes(images, pull_secrets, keys.is_internal_token)
        self._audit_log = AuditLog(write_stdout, write_stdout_now)
        self._streams = Streams()
        self._auditor = Auditor(self._audit_log) if settings.audit_log else None
        self.app = control_plane(
            settings,
            keys,
            client,
            sandboxes,
            self.classes,
            self._held_calls,
            starts,
            self.api_keys,
            self.pools,
            images,
            pull_secrets,
            self._streams,
            self._auditor,
            tracing,
        )
        self._certificates = None if settings.tls_dir is None else Certificates(settings.tls_dir)
        self.ready = False
        """Whether it serves requests: the answer of `/readyz`."""

    async def wait_synced(self) -> None:
        """Return once Sandboxes and API keys are known."""
        await self.cache.informer.wait_synced()
        await self.api_keys.informer.wait_synced()

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set; then finish the requests in progress.

        Raises OSError when a port is not available, and an ExceptionGroup when a part fails.
        """
        settings = self._settings
        metrics.READY.set_function(lambda: self.ready)
        if settings.worker_socket is None:
            health_socket = tcp_socket(settings.listen_host, settings.health_port)
        else:
            health_socket = unix_socket(str(settings.worker_socket))
        probes = AppServer(
            probes_app(lambda: self.ready, self._reports.route, self._image_sizes.route), health_socket, grace_seconds=1
        )
        followed = (self.cache, self.api_keys, self.classes, self.pools)
        async with asyncio.TaskGroup() as tasks:
            probing = tasks.create_task(probes.run())
            background = [
                *(tasks.create_task(known.informer.run()) for known in followed),
                tasks.create_task(collector.tend()),
                stopping := tasks.create_task(stop.wait()),
                synced := tasks.create_task(until_known(self.wait_synced(), self._client.configuration.host)),
            ]
            if self._certificates is not None:
                background.append(tasks.create_task(self._certificates.run()))
            await asyncio.wait({stopping, synced}, return_when=asyncio.FIRST_COMPLETED)
            if not stop.is_set():
                collector.settle()
                await self._serve(tasks, stop)
            probes.stop()
            await probing
            for task in background:
                task.cancel()

    async def _serve(self, tasks: asyncio.TaskGroup, stop: asyncio.Event) -> None:
        settings, certificates = self._settings, self._certificates
        # The directory is private to this process (mode 0700), since the control plane trusts every connection.
        with tempfile.TemporaryDirectory(prefix="sandbox-gateway-") as directory:
            path = Path(directory, "control.sock")
            control = AppServer(self.app, unix_socket(str(path)), grace_seconds=settings.shutdown_grace_seconds)
            controlling = tasks.create_task(control.run())
            access_log = RequestLog(
                settings.access_log, logs.line_renderer(settings.log_format), write_stdout, self._spans
            )
            logging = tasks.create_task(access_log.run())
            connections = descriptors.connections(descriptors.raise_limit(), tls=certificates is not None)
            front = await listener.serve(
                settings.listen_host,
                settings.listen_port,
                directory=self.directory,
                activity=self.activity,
                waker=self._wakes,
                ask=asking(PodIdentities(self._client, settings.namespace)),
                access_log=access_log if self._auditor is None else RefusedKeys(access_log, self._auditor),
                control_socket=path,
                base_domain=settings.base_domain,
                https=settings.public_url.startswith("https:") if settings.public_url else certificates is not None,
                tls=None if certificates is None else lambda: certificates.context,
                proxies=TrustedProxies(settings.trusted_proxies),
                share_port=settings.worker_socket is not None,
                bounds=Bounds(
                    connections=connections,
                    wake_hold_seconds=settings.wake_hold_seconds,
                    requests_per_sandbox=settings.requests_per_sandbox,
                    websockets_per_sandbox=settings.websockets_per_sandbox,
                ),
            )
            self.cache.suspensions.on_suspended.append(front.cut)
            self._departures.on_gone.append(front.cut)
            self.ready = True
            _log.info(
                "gateway serves",
                host=settings.listen_host,
                port=front.port,
                base_domain=settings.base_domain,
                most_connections=connections,
            )
            await stop.wait()
            _log.info("gateway drains", grace_seconds=settings.shutdown_grace_seconds)
            self.ready = False
            self._held_calls.release()
            self._streams.release()
            deadline = asyncio.get_running_loop().time() + settings.shutdown_grace_seconds
            await front.shutdown(settings.shutdown_grace_seconds)
            control.stop()
            await controlling
            access_log.stop()
            await logging
            await self._reports.hand_over(deadline - asyncio.get_running_loop().time())
            await self._audit_log.drain()


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Connect to Kubernetes and run a gateway until `stop` is set.

    Raises MasterKeyError, TlsError, kubernetes.aio.config.ConfigException, and the errors of `Gateway.run`.
    """
    keys = MasterKeys.load(settings.master_key_dir)
    if not keys.naming:
        _log.warning("names of new sandboxes are not keyed", remedy=f"add an entry {NAMING_KEY} beside the master key")
    # A caller waits for each request, with its own time-out.
    client = await KubeClient.connect(settings.kubeconfig, "sandbox-gateway", _count_request, patience=CALL_SECONDS)
    tracing = tracing_from_environment("sandbox-gateway")
    try:
        await Gateway(settings, keys, client, tracing).run(stop)
    finally:
        if tracing:
            await tracing.close()
        await client.close()
