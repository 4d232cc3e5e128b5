"""What kopf does here: it watches the custom resources, and each event marks one key. It writes nothing."""

import asyncio
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

import aiohttp
import kopf
import orjson
import structlog
from kopf._core.reactor.inventory import ResourceMemories, ResourceMemory
from kubernetes.aio.client import Configuration

from sandbox_crds.kube import ApiError, KubeClient
from sandbox_operator.store import AnyStore

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_BRIDGE_SECONDS = 60.0
_RETRY_SECONDS = (1, 1, 2, 3, 5, 8, 13)


class _NoDiffBase(kopf.DiffBaseStorage):
    """Nothing is compared with earlier states, so none is kept; kopf would copy each object whole for it."""

    def build(self, **_: Any) -> Any:
        return {}

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        return None


class _NoProgress(kopf.ProgressStorage):
    """No handler is retried by kopf, so there is no progress to keep in annotations."""

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        return None

    def purge(self, **_: Any) -> None:
        return None

    def touch(self, **_: Any) -> None:
        return None

    def clear(self, *, essence: Any) -> Any:
        return essence


class NoMemories(ResourceMemories):
    """Handlers here need nothing of what kopf remembers of each object for as long as it exists."""

    async def recall(self, raw_body: Any, *, memobase: Any = None, **_: Any) -> ResourceMemory:
        return await super().recall(raw_body, memobase=memobase, ephemeral=True)


class _ForEver:
    """Delays between attempts without an end: kopf would end the process after the last one."""

    def __iter__(self) -> Iterator[float]:
        yield from _RETRY_SECONDS
        while True:
            yield _RETRY_SECONDS[-1]


async def watch(client: KubeClient, namespace: str, stores: Sequence[AnyStore], started: Callable[[], None]) -> None:
    """Feed the stores until cancelled. Raises what kopf cannot go on from.

    kopf takes over the handling of SIGTERM and SIGINT; `started` is called right after that, to take it back. At its
    end kopf cancels every task that has started after it.
    """
    bridges = [asyncio.create_task(bridge(client, namespace, store)) for store in stores]
    others = asyncio.all_tasks()
    tasks = await kopf.spawn_tasks(
        registry=_registry(client.configuration, stores),
        settings=settings(),
        memories=NoMemories(),
        namespaces=[namespace],
        standalone=True,
        # kopf would ask for the user's name, and a container's uid need not have one.
        identity=cast(Any, platform.node()),
    )
    started()
    try:
        await kopf.run_tasks(tasks, ignored=others)
    finally:
        for task in bridges:
            task.cancel()


async def bridge(client: KubeClient, namespace: str, store: AnyStore, seconds: float = _BRIDGE_SECONDS) -> None:
    """Follow a store from its last sweep on, for a while. What it misses is for kopf to find.

    kopf first lists all objects anew, and has done so with thousands of them only seconds later.
    """
    try:
        async with (
            asyncio.timeout(seconds),
            client.watch(store.resource, namespace, resourceVersion=store.version) as lines,
        ):
            while line := await lines.readline():
                event = orjson.loads(line)
                if event["type"] == "ERROR":
                    return
                feed(store, event)
    except TimeoutError:
        return
    except (ApiError, aiohttp.ClientError, OSError, ValueError) as error:
        _log.info("events come only once kopf watches", resource=store.resource.plural, error=str(error))


def feed(store: AnyStore, event: Mapping[str, Any]) -> None:
    """Bring one watch event into a store."""
    item = event["object"]
    if event["type"] == "DELETED":
        store.drop(item["metadata"]["name"], item["metadata"]["uid"])
    else:
        store.put(item)


def _registry(configuration: Configuration, stores: Sequence[AnyStore]) -> kopf.OperatorRegistry:
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    async def _(**_: Any) -> kopf.ConnectionInfo:
        return await connection(configuration)

    for store in stores:
        resource = store.resource

        # Handlers are told apart by their id, which is the function's name unless given.
        @kopf.on.event(resource.group, resource.version, resource.plural, id=resource.plural, registry=registry)
        async def _(event: Any, store: AnyStore = store, **_: Any) -> None:
            feed(store, event)

    return registry


async def connection(configuration: Configuration) -> kopf.ConnectionInfo:
    """Our client's address and credentials in kopf's words."""
    header = await configuration.get_api_key_with_prefix("BearerToken")
    return kopf.ConnectionInfo(
        server=configuration.host,
        ca_path=configuration.ssl_ca_cert,
        insecure=not configuration.verify_ssl,
        token=header.split()[-1] if header else None,
        certificate_path=configuration.cert_file,
        private_key_path=configuration.key_file,
    )


def settings() -> kopf.OperatorSettings:
    """kopf without writes and without an end."""
    made = kopf.OperatorSettings()
    made.persistence.diffbase_storage = _NoDiffBase()
    made.persistence.progress_storage = _NoProgress()
    made.posting.enabled = False
    # Without this kopf needs cluster-wide rights to watch namespaces and CRDs.
    made.scanning.disabled = True
    # A first list of thousands would be in memory whole, and each object again in a task of its own for a while.
    made.watching.chunk_size = 250
    made.queueing.idle_timeout = 0.2
    made.networking.request_timeout = 30
    made.networking.connect_timeout = 5
    made.networking.error_backoffs = _ForEver()
    made.process.ultimate_exiting_timeout = None
    return made
