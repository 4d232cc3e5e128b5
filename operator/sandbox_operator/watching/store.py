"""Custom resources as last seen, fed by kopf's watch and corrected by periodic lists.

kopf's watch has no memory: it never reports what was deleted during an interruption. So the store is compared with a
fresh list at the start and every few minutes, which also repairs any lost event.
"""

import asyncio
import time
from collections.abc import Callable, Sequence

import structlog

from sandbox_common.kube import FAILURES, KubeClient, KubeObject, Resource, unreadable
from sandbox_common.kube.objects import Objects, Synced
from sandbox_common.kube.old_lists import OldLists
from sandbox_common.recent import remember
from sandbox_crds.models import Sandbox, SandboxClass, SandboxPool
from sandbox_operator.watching.pace import pause

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Store[T: (Sandbox, SandboxClass, SandboxPool)](Objects[T]):
    """Objects of one resource in one namespace by name. `on_change(name)` is called for each change or deletion."""

    def __init__(self, resource: Resource, model: type[T], on_change: Callable[[str], None]) -> None:
        super().__init__()
        self.resource = resource
        self._model = model
        self._on_change = on_change
        self.version = 0
        """Resource version of the last sweep's list."""
        self._newest = 0
        """The highest resource version seen, of a list or an object."""
        self._old_lists = OldLists()
        self._dropped: dict[str, int] = {}
        """UIDs of deleted objects, with the highest version seen by then. Older lists, kopf's too, still have them.

        If something newer shows such an object, it exists after all.
        """

    def put(self, item: KubeObject, *, again: bool = False) -> None:
        """Take an object, unless a newer state or its deletion is known. `again`: also if the state is the same.

        Resource versions of one resource can be compared as numbers (Kubernetes 1.35, KEP-5504). An object that the
        model refuses is logged and omitted, so that it cannot block others.
        """
        metadata = item["metadata"]
        known, version = self._objects.get(metadata["name"]), int(metadata["resourceVersion"])
        ahead = int(known.metadata.resource_version) - version if known else -1
        if ahead > 0 or (ahead == 0 and not again) or version <= self._dropped.get(metadata["uid"], -1):
            return
        self._dropped.pop(metadata["uid"], None)
        self._newest = max(self._newest, version)
        found = self._read(item)
        if found is not None and found != known:
            self._objects[metadata["name"]] = found
            self._on_change(metadata["name"])

    def refresh(self, item: KubeObject) -> T | None:
        """Take the answer to this process's write, unless the object has been deleted meanwhile.

        Returns what it says, which may be older than what is known now; None if the model refuses it.
        """
        metadata = item["metadata"]
        known = self._objects.get(metadata["name"])
        if known and known.metadata.uid == metadata["uid"]:
            self.put(item)
            known = self._objects.get(metadata["name"])
        is_it = known and (known.metadata.uid, known.metadata.resource_version) == (
            metadata["uid"],
            metadata["resourceVersion"],
        )
        return known if is_it else self._read(item)

    def _read(self, item: KubeObject) -> T | None:
        try:
            return self._model.model_validate(item)
        except Exception as error:
            unreadable.report(self.resource, item["metadata"]["name"], error)
            return None

    def drop(self, name: str, uid: str) -> None:
        """Forget an object that is gone. One with the same name and another UID stays."""
        remember(self._dropped, uid, self._newest)
        known = self._objects.get(name)
        if known and known.metadata.uid == uid:
            del self._objects[name]
            self._on_change(name)

    async def sweep(self, client: KubeClient, namespace: str, *, again: bool = False) -> None:
        """Make the store equal to a fresh list. Raises what KubeClient raises, and OldListError for an old list.

        `again`: decode unchanged objects again, because a definition has changed.
        """
        before = {name: item.metadata.uid for name, item in self._objects.items()}
        present: set[str] = set()
        newest, dropped = self._newest, dict(self._dropped)
        async for page in client.pages(self.resource, namespace):
            version = int(page["metadata"]["resourceVersion"])
            is_restored = self._old_lists.check(version, newest)
            self.version, self._newest = version, version if is_restored else max(self._newest, version)
            for item in page["items"]:
                name, uid = item["metadata"]["name"], item["metadata"]["uid"]
                present.add(uid)
                if is_restored or self._is_rewound(item, version):
                    self._objects.pop(name, None)
                if is_restored or version > dropped.get(uid, version):
                    self._dropped.pop(uid, None)
                self.put(item, again=again)
        for name, uid in before.items():
            if uid not in present:
                self.drop(name, uid)

    def _is_rewound(self, item: KubeObject, version: int) -> bool:
        """Whether a list of this version has an older state of an object than the one that is known.

        So it is after etcd was restored with a higher revision, as `etcdutl snapshot restore --bump-revision` does.
        """
        known = self._objects.get(item["metadata"]["name"])
        return (
            known is not None
            and int(item["metadata"]["resourceVersion"]) < int(known.metadata.resource_version) <= version
        )


type AnyStore = Store[Sandbox] | Store[SandboxClass] | Store[SandboxPool]


class Sweeper(Synced):
    """Sweeps stores at once, soon again, and then every few minutes."""

    INTERVAL = 300.0
    """Seconds between two sweeps."""
    SECOND = 10.0
    """Seconds between the first two sweeps: the first list may be old, and nothing shows it."""
    _RETRY = 5.0

    def __init__(self, client: KubeClient, namespace: str, stores: Sequence[AnyStore]) -> None:
        super().__init__()
        self._client = client
        self._namespace = namespace
        self._stores = stores
        self._asked = asyncio.Event()
        self.turned_at = time.monotonic()
        """Monotonic time of the last sweep, whether it succeeded or failed."""

    def read_again(self) -> None:
        """Read all objects again soon, including unchanged ones."""
        self._asked.set()

    async def run(self) -> None:
        """Sweep until cancelled."""
        again = False
        while True:
            delay, complete = self.INTERVAL if self.synced else self.SECOND, True
            for store in self._stores:
                try:
                    await store.sweep(self._client, self._namespace, again=again)
                except (*FAILURES, ValueError) as error:
                    delay, complete = self._RETRY, False
                    _log.warning("list failed", resource=store.resource.plural, error=str(error), retry_in=delay)
            if complete:
                again = False
                self._synced.set()
            self.turned_at = time.monotonic()
            again = await pause(delay, self._asked) or again
