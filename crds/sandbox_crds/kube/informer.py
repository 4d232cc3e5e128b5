"""A cache that follows one list of objects: LIST, then WATCH, and after each gap the difference of a new LIST.

Written for one reason above all: a gap in a watch loses deletions, and only comparing with a fresh list finds them.
"""

import asyncio
import random
import time
from collections.abc import Callable, Iterator

import aiohttp
import orjson
import structlog

from sandbox_crds.kube.client import ApiError, KubeClient, KubeObject
from sandbox_crds.kube.resources import Resource

type Handler[T] = Callable[[str, T | None], None]

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_FIRST_DELAY = 0.1
_LONGEST_DELAY = 15.0
_SWEEP_SECONDS = 600.0
"""A watch ends after about this long at the latest, and the list is read anew: the periodic sweep."""


class _Expired(Exception):
    """The watch cannot go on from its resource version."""


class Informer[T]:
    """Objects of one resource in one namespace by name, decoded by `decode`.

    `on_change(name, object or None)` is called, in the event loop, for each object that is new, changed or gone.
    An object that `decode` refuses (ValueError) is logged and counts as absent, so that it cannot stop the others.
    """

    def __init__(
        self,
        client: KubeClient,
        resource: Resource,
        namespace: str,
        decode: Callable[[KubeObject], T],
        *,
        label_selector: str = "",
        field_selector: str = "",
        on_change: Handler[T] | None = None,
    ) -> None:
        self._client = client
        self._resource = resource
        self._namespace = namespace
        self._decode = decode
        selectors = {"labelSelector": label_selector, "fieldSelector": field_selector}
        self._query = {name: selector for name, selector in selectors.items() if selector}
        self._handlers: list[Handler[T]] = [on_change] if on_change else []
        self._objects: dict[str, T] = {}
        self._versions: dict[str, str] = {}
        self._synced = asyncio.Event()
        self.version = 0
        """Resource version up to which everything has been seen; numbers, as of Kubernetes 1.35 (KEP-5504)."""
        self.following = False
        """Whether a watch is open, so that news comes as it happens."""
        self.heard_at = time.monotonic()
        """Monotonic time of the last sign of life of the server: a list, an event or a bookmark, one a minute."""

    def __iter__(self) -> Iterator[T]:
        return iter(self._objects.values())

    def __len__(self) -> int:
        return len(self._objects)

    def get(self, name: str) -> T | None:
        """The object of this name, as last seen."""
        return self._objects.get(name)

    @property
    def synced(self) -> bool:
        """Whether the first list has been read."""
        return self._synced.is_set()

    async def wait_synced(self) -> None:
        """Return once the first list has been read."""
        await self._synced.wait()

    async def run(self) -> None:
        """Follow the list until cancelled. No answer of the API server ends it; all are tried again."""
        delay = _FIRST_DELAY
        while True:
            try:
                await self._list()
                delay = _FIRST_DELAY
                async with asyncio.timeout(_SWEEP_SECONDS):
                    await self._watch()
            except _Expired:
                pass
            except TimeoutError:
                # The sweep is due, or the server fell silent: both read the list anew.
                pass
            except (ApiError, aiohttp.ClientError, OSError, orjson.JSONDecodeError) as error:
                _log.warning("list or watch failed", resource=self._resource.plural, error=str(error), retry_in=delay)
            await asyncio.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311
            delay = min(delay * 2, _LONGEST_DELAY)

    async def _list(self) -> None:
        seen: set[str] = set()
        version = self.version
        async for page in self._client.pages(self._resource, self._namespace, **self._query):
            version = int(page["metadata"]["resourceVersion"])
            for item in page["items"]:
                seen.add(item["metadata"]["name"])
                self._put(item)
            self.heard_at = time.monotonic()
        self.version = version
        for name in self._versions.keys() - seen:
            self._drop(name)
        self._synced.set()

    async def _watch(self) -> None:
        while True:
            query = {**self._query, "resourceVersion": str(self.version), "allowWatchBookmarks": "true"}
            started = asyncio.get_running_loop().time()
            async with self._client.watch(self._resource, self._namespace, **query) as lines:
                self.following = True
                try:
                    while line := await lines.readline():
                        self._apply(orjson.loads(line))
                        self.heard_at = time.monotonic()
                finally:
                    self.following = False
            # A server that accepts and at once ends each watch must not be asked in a tight loop.
            if asyncio.get_running_loop().time() - started < 1:
                await asyncio.sleep(1)

    def _apply(self, event: KubeObject) -> None:
        kind, item = event["type"], event["object"]
        if kind == "ERROR":
            if item.get("code") == 410:
                raise _Expired
            raise ApiError(item.get("code", 500), item.get("reason", ""), item.get("message", ""))
        self.version = int(item["metadata"]["resourceVersion"])
        if kind == "DELETED":
            self._drop(item["metadata"]["name"])
        elif kind in {"ADDED", "MODIFIED"}:
            self._put(item)

    def _put(self, item: KubeObject) -> None:
        name, version = item["metadata"]["name"], item["metadata"]["resourceVersion"]
        if self._versions.get(name) == version:
            return
        self._versions[name] = version
        try:
            decoded = self._decode(item)
        except ValueError as error:
            _log.error("object cannot be read", resource=self._resource.plural, name=name, error=str(error))
            self._objects.pop(name, None)
            self._tell(name, None)
            return
        self._objects[name] = decoded
        self._tell(name, decoded)

    def _drop(self, name: str) -> None:
        self._versions.pop(name, None)
        if self._objects.pop(name, None) is not None:
            self._tell(name, None)

    def _tell(self, name: str, item: T | None) -> None:
        for handler in self._handlers:
            handler(name, item)
