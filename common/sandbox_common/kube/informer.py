"""A cache that follows one list of objects: LIST, then WATCH from there, and LIST again if the watch cannot continue.

A watch that breaks or is refused continues where it was, after growing pauses. Only if the server has forgotten that
version (410), another list is needed: deletions in the gap show only by comparison with a fresh list.
"""

import asyncio
import math
import time
from collections.abc import Callable

import aiohttp
import orjson
import structlog

from sandbox_common.backoff import backoff
from sandbox_common.kube import unreadable
from sandbox_common.kube.client import KubeClient, KubeObject
from sandbox_common.kube.errors import FAILURES, ApiError
from sandbox_common.kube.objects import Objects, Synced
from sandbox_common.kube.old_lists import OldLists
from sandbox_common.kube.repetition import FIRST_PAUSE, LONGEST_PAUSE
from sandbox_common.kube.resources import Resource

type Handler[T] = Callable[[str, T | None], None]

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_FIRST_DELAY = 0.1
_LONGEST_DELAY = 15.0
_SWEEP_SECONDS = 600.0
"""Seconds after which the list is read again: the periodic sweep."""
_DOUBTFUL = 5
"""After this many failures in a row, the version may be the cause, for example if etcd was restored from a backup."""
_CHECK_SECONDS = 3.0
_CATCH_UP_SECONDS = 0.2
_LASTING_SECONDS = 5.0
"""A watch that ends earlier is followed by a pause, whatever ended it."""
_FAILURES = (*FAILURES, LookupError, TypeError, ValueError)
"""Failures of lists and watches: refused, broken, silent, or not decodable."""


class Informer[T](Objects[T], Synced):
    """Objects of one resource in one namespace by name, decoded by `decode`.

    `on_change(name, object or None)` is called, in the event loop, for each object that is new, changed or gone.
    If `decode` or `on_change` fails for an object, this is logged and counted. An unreadable object counts as absent.
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
        on_change: Handler[T] = lambda _, __: None,
    ) -> None:
        super().__init__()
        self._client = client
        self._resource = resource
        self._namespace = namespace
        self._decode = decode
        selectors = {"labelSelector": label_selector, "fieldSelector": field_selector}
        self._query = {name: selector for name, selector in selectors.items() if selector}
        self._on_change = on_change
        self._versions: dict[str, str] = {}
        self._failures = 0
        """Failures since the last event of the watch."""
        self._quick_failures = 0
        """Failures since the last event, or since a watch lasted: proxies may break a watch without events."""
        self._old_lists = OldLists()
        self._short_watches = 0
        """Number of short watches in a row."""
        self._listed_at = -math.inf
        self.version = 0
        """Resource version up to which everything has been seen, a number (Kubernetes 1.35, KEP-5504)."""
        self.turned_at = time.monotonic()
        """Monotonic time of the last page, event, bookmark or failure: at least one in 90 s."""

    async def run(self) -> None:
        """Follow the list until cancelled. No answer of the API server ends this; all failures are retried."""
        while True:
            try:
                await self._follow()
                delay = 0.0
            except _FAILURES as error:
                delay = self._failed(error)
            if self._short_watches:
                delay = max(delay, backoff(self._short_watches, FIRST_PAUSE, LONGEST_PAUSE))
            await asyncio.sleep(delay)

    async def is_current(self) -> bool:
        """Whether all that has happened before the call is known, as a second watch shows within 1 to 3 seconds.

        The connection of the first one looks open for a minute and more after it was lost without notice.
        """
        try:
            async with asyncio.timeout(_CHECK_SECONDS):
                latest = await self._latest()
                await asyncio.sleep(_CATCH_UP_SECONDS)
        except (TimeoutError, *_FAILURES):
            return False
        return self.version >= latest

    async def _latest(self) -> int:
        """The version of the last change, by a watch of one second from the known one."""
        latest = self.version
        query = {**self._query, "resourceVersion": str(latest), "timeoutSeconds": "1"}
        async with self._client.watch(self._resource, self._namespace, **query) as lines:
            while line := await lines.readline():
                latest = int(orjson.loads(line)["object"]["metadata"]["resourceVersion"])
        return latest

    async def _follow(self) -> None:
        """Read the list if it is due, and then watch until the watch ends or the next list is due."""
        if self._sweep_in() <= 0:
            await self._list()
        sweep = asyncio.timeout(self._sweep_in())
        try:
            async with sweep:
                await self._watch()
        except TimeoutError:
            if not sweep.expired():
                raise

    def _sweep_in(self) -> float:
        return self._listed_at + _SWEEP_SECONDS - time.monotonic()

    async def _list(self) -> None:
        seen: set[str] = set()
        version = self.version
        async for page in self._client.pages(self._resource, self._namespace, **self._query):
            version = int(page["metadata"]["resourceVersion"])
            self._old_lists.check(version, self.version)
            # An empty list of metadata alone has null.
            for item in page["items"] or ():
                seen.add(item["metadata"]["name"])
                self._put(item)
            self.turned_at = time.monotonic()
        self.version = version
        for name in self._versions.keys() - seen:
            self._drop(name)
        self._listed_at = time.monotonic()
        self._synced.set()

    async def _watch(self) -> None:
        """Watch until the watch ends. Raises what ended it, unless the server closed it regularly."""
        query = {**self._query, "resourceVersion": str(self.version), "allowWatchBookmarks": "true"}
        said = False
        async with self._client.watch(self._resource, self._namespace, **query) as lines:
            opened_at = time.monotonic()
            try:
                while line := await lines.readline():
                    self._apply(orjson.loads(line))
                    del line  # it may be large, and the next one may take long
                    self.turned_at = time.monotonic()
                    self._failures, self._quick_failures, said = 0, 0, True
            finally:
                self._short_watches += 1
                if time.monotonic() - opened_at >= _LASTING_SECONDS:
                    self._short_watches, self._quick_failures = 0, 0
        if not said:
            raise aiohttp.ServerDisconnectedError("the watch ended without a word")

    def _failed(self, error: Exception) -> float:
        """Note a failure. Returns the seconds until the next attempt."""
        self._failures += 1
        self._quick_failures += 1
        self.turned_at = time.monotonic()
        delay = backoff(self._quick_failures, _FIRST_DELAY, _LONGEST_DELAY)
        is_known = isinstance(error, (*FAILURES, orjson.JSONDecodeError))
        is_expired = isinstance(error, ApiError) and error.code == 410
        if is_expired or not is_known or self._failures % _DOUBTFUL == 0:
            self._listed_at = -math.inf
        if isinstance(error, ApiError):
            delay = max(delay, error.retry_after or 0.0)
        problem = str(error) or type(error).__name__
        _log.warning("list or watch failed", resource=self._resource.plural, error=problem, retry_in=round(delay, 1))
        return delay

    def _apply(self, event: KubeObject) -> None:
        kind, item = event["type"], event["object"]
        if kind == "ERROR":
            raise ApiError(item.get("code", 500), item.get("reason", ""), item.get("message", ""))
        version = int(item["metadata"]["resourceVersion"])
        if kind == "DELETED":
            self._drop(item["metadata"]["name"])
        elif kind in {"ADDED", "MODIFIED"}:
            self._put(item)
        self.version = version

    def _put(self, item: KubeObject) -> None:
        name, version = item["metadata"]["name"], item["metadata"]["resourceVersion"]
        if self._versions.get(name) == version:
            return
        self._versions[name] = version
        try:
            decoded = self._decode(item)
        except Exception as error:
            unreadable.report(self._resource, name, error)
            self._objects.pop(name, None)
            self._notify(name, None)
            return
        self._objects[name] = decoded
        self._notify(name, decoded)

    def _drop(self, name: str) -> None:
        self._versions.pop(name, None)
        if self._objects.pop(name, None) is not None:
            self._notify(name, None)

    def _notify(self, name: str, item: T | None) -> None:
        try:
            self._on_change(name, item)
        except Exception as error:
            unreadable.report(self._resource, name, error)
