"""Connects kopf: it watches the custom resources and feeds each event to a store. It writes nothing."""

import asyncio
import dataclasses
import itertools
import math
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

import kopf
import orjson
import structlog
from kopf._core.reactor.inventory import ResourceMemories, ResourceMemory
from kubernetes.aio.client import Configuration

from sandbox_common.backoff import backoff
from sandbox_common.kube import FAILURES, KubeClient
from sandbox_operator.watching.store import AnyStore

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_BRIDGE_SECONDS = 60.0
_LASTING_SECONDS = 60.0
"""After this time without a failure, pauses are short again."""
_LONGEST_PAUSE_SECONDS = 15.0
_END_SECONDS = 10.0


class _NoDiffBase(kopf.DiffBaseStorage):
    """Keeps no earlier states, because nothing is compared with them. kopf would copy each whole object."""

    def build(self, **_: Any) -> Any:
        return {}

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        return None


class _NoProgress(kopf.ProgressStorage):
    """kopf retries no handler here, so there is no progress to store in annotations."""

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
    """Keeps none of kopf's memory of each object, because the handlers here do not need it."""

    async def recall(self, raw_body: Any, *, memobase: Any = None, **_: Any) -> ResourceMemory:
        return await super().recall(raw_body, memobase=memobase, ephemeral=True)


class _ForEver:
    """Endless delays between attempts. After the last one of a finite list, kopf would end the process."""

    def __iter__(self) -> Iterator[float]:
        return (backoff(failures, 1.0, _LONGEST_PAUSE_SECONDS) for failures in itertools.count(1))


class Watches:
    """kopf's watches of these stores.

    kopf replaces the handlers of SIGTERM and SIGINT. `started` is called right after that, to set them again. After a
    restart, kopf does not know what it has missed, so `missed` is called.
    """

    def __init__(
        self,
        client: KubeClient,
        namespace: str,
        stores: Sequence[AnyStore],
        started: Callable[[], None],
        missed: Callable[[], None],
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._stores = stores
        self._started = started
        self._missed = missed
        self.alive = False
        """Whether kopf runs. It retries each watch whatever the API server answers, or ends as a whole."""

    async def run(self) -> None:
        """Feed the stores until cancelled. Restarts kopf whenever it ends; raises RuntimeError if it does not end."""
        failures = 0
        while True:
            began = time.monotonic()
            error = await self._until_end()
            failures = failures + 1 if time.monotonic() - began < _LASTING_SECONDS else 1
            delay = backoff(failures, 1.0, _LONGEST_PAUSE_SECONDS)
            _log.warning("kopf has ended and is begun again", error=repr(error), retry_in=round(delay, 1))
            await asyncio.sleep(delay)
            self._missed()

    async def _until_end(self) -> BaseException | None:
        """Run kopf until it ends. Returns the exception that ended it.

        This does not use kopf's `run_tasks`, which waits without a timeout when kopf ends, and then cancels all tasks
        that are younger than kopf, including the operator's.
        """
        bridges = [asyncio.create_task(bridge(self._client, self._namespace, store)) for store in self._stores]
        tasks = await kopf.spawn_tasks(
            registry=_registry(self._client.configuration, self._stores),
            settings=settings(),
            memories=NoMemories(),
            namespaces=[self._namespace],
            standalone=True,
            # Otherwise kopf asks for the user's name, which a container's uid may not have.
            identity=cast(Any, platform.node()),
        )
        self._started()
        self.alive = True
        try:
            ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.alive = False
            for task in (*tasks, *bridges):
                task.cancel()
            _, stuck = await asyncio.wait(tasks, timeout=_END_SECONDS)
        if stuck:
            raise RuntimeError(f"kopf does not end: {', '.join(sorted(task.get_name() for task in stuck))}")
        return next((task.exception() for task in ended if not task.cancelled() and task.exception()), None)


async def bridge(client: KubeClient, namespace: str, store: AnyStore, seconds: float = _BRIDGE_SECONDS) -> None:
    """Watch for a while from a store's last sweep on. kopf finds what this misses.

    kopf first lists all objects again, which takes seconds for thousands of objects.
    """
    try:
        async with (
            asyncio.timeout(seconds),
            client.watch(store.resource, namespace, resourceVersion=str(store.version)) as lines,
        ):
            while line := await lines.readline():
                event = orjson.loads(line)
                if event["type"] == "ERROR":
                    return
                feed(store, event)
    except TimeoutError:
        return
    except (*FAILURES, ValueError) as error:
        _log.info("events come only once kopf watches", resource=store.resource.plural, error=str(error))


def feed(store: AnyStore, event: Mapping[str, Any]) -> None:
    """Apply one watch event to a store."""
    item = event["object"]
    if event["type"] == "DELETED":
        store.drop(item["metadata"]["name"], item["metadata"]["uid"])
    else:
        store.put(item)


def _registry(configuration: Configuration, stores: Sequence[AnyStore]) -> kopf.OperatorRegistry:
    registry = kopf.OperatorRegistry()
    logins = Logins(configuration)

    @kopf.on.login(registry=registry)
    async def _(**_: Any) -> kopf.ConnectionInfo:
        return await logins.next()

    for store in stores:
        resource = store.resource

        # kopf distinguishes handlers by their id, which is the function's name by default.
        @kopf.on.event(resource.group, resource.version, resource.plural, id=resource.plural, registry=registry)
        async def _(event: Any, store: AnyStore = store, **_: Any) -> None:
            feed(store, event)

    return registry


class Logins:
    """Credentials for kopf, which asks for them again after each 401.

    kopf never reuses refused credentials, and would end without new ones. But an API server that has just started, or
    whose authentication webhook fails, refuses valid ones. So all credentials are different, after growing pauses.
    """

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self._number = 0
        self._failures = 0
        self._last = -math.inf

    async def next(self) -> kopf.ConnectionInfo:
        """The client's address and credentials, read again."""
        if time.monotonic() - self._last < _LASTING_SECONDS:
            self._failures += 1
            await asyncio.sleep(backoff(self._failures, 0.1, _LONGEST_PAUSE_SECONDS))
        else:
            self._failures = 0
        self._last = time.monotonic()
        self._number += 1
        return dataclasses.replace(await connection(self._configuration), priority=self._number)


async def connection(configuration: Configuration) -> kopf.ConnectionInfo:
    """The client's address and credentials as kopf's type."""
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
    """Settings that make kopf write nothing and never end."""
    made = kopf.OperatorSettings()
    made.persistence.diffbase_storage = _NoDiffBase()
    made.persistence.progress_storage = _NoProgress()
    made.posting.enabled = False
    # Without this kopf needs cluster-wide rights to watch namespaces and CRDs.
    made.scanning.disabled = True
    # Otherwise the whole first list would be in memory, and each object once more in its own task for a while.
    made.watching.chunk_size = 250
    made.queueing.idle_timeout = 0.2
    made.networking.request_timeout = 30
    made.networking.connect_timeout = 5
    made.networking.error_backoffs = _ForEver()
    made.process.ultimate_exiting_timeout = None
    return made
