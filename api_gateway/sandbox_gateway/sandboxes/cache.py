"""The gateway's cache of Sandboxes: the informer's, with this replica's own writes ahead of it."""

import asyncio
from collections.abc import Callable, Generator, Set
from contextlib import AbstractContextManager, contextmanager

from sandbox_common.keys import MasterKeys
from sandbox_common.kube import Informer, KubeClient, KubeObject
from sandbox_common.kube.resources import SANDBOXES
from sandbox_common.recent import remember
from sandbox_crds.models import Sandbox
from sandbox_gateway.sandboxes.reads import SharedReads
from sandbox_gateway.sandboxes.suspensions import Suspensions


class SandboxCache:
    """The Sandboxes of one namespace by name and by key id. Those being deleted count as gone."""

    def __init__(self, client: KubeClient, namespace: str, keys: MasterKeys) -> None:
        self._keys = keys
        self.informer = Informer(client, SANDBOXES, namespace, Sandbox.model_validate, on_change=self._on_change)
        self._checks = SharedReads(lambda _: self.informer.is_current())
        self._ahead: dict[str, Sandbox] = {}
        self._deleted: dict[str, str] = {}
        """By name, UIDs of Sandboxes that are deleted although the informer has not seen it yet."""
        self._former_key_ids: dict[str, None] = {}
        """Key ids whose Sandbox is gone."""
        self._names: dict[str, str] = {}
        self._key_ids: dict[str, str] = {}
        self._sessions: dict[str, tuple[str, str]] = {}
        """By name, owner and session id."""
        self._owned: dict[str, set[str]] = {}
        self._of_session: dict[tuple[str, str], frozenset[str]] = {}
        self._watchers: dict[str, set[asyncio.Event]] = {}
        self._expected_key_ids: dict[str, set[asyncio.Event]] = {}
        self._listeners: list[Callable[[str, Sandbox | None], None]] = []
        self._followers: list[Callable[[str, Set[str]], None]] = []
        self.suspensions = Suspensions(self.listen)

    async def is_current(self) -> bool:
        """Whether all Sandboxes that existed before the call are known. It takes some seconds."""
        return await self._checks.get("")

    def get(self, name: str) -> Sandbox | None:
        """The Sandbox of this name as last seen or written, unless it is being deleted."""
        newest = self._newest(name)
        if newest is None or newest.metadata.deletion_timestamp or newest.metadata.uid == self._deleted.get(name):
            return None
        return newest

    def find_session(self, owner: str, session_id: str) -> Sandbox | None:
        """The Sandbox of this session, whatever its name is.

        If it has several, as after a rollback to a gateway that does not know its name, all replicas answer the oldest.
        """
        found = [known for name in self._of_session.get((owner, session_id), ()) if (known := self.get(name))]
        return min(found, key=lambda known: (known.metadata.creation_timestamp, known.metadata.name), default=None)

    def runtime_ids(self, owner: str, session_id: str) -> tuple[str, ...]:
        """The names that the session's Sandbox can have if it is not known here. The first is that of a new one."""
        return self._keys.runtime_ids(owner, session_id)

    def find_by_key_id(self, key_id: str) -> Sandbox | None:
        """The Sandbox whose session key has this id."""
        name = self._names.get(key_id)
        sandbox = self.get(name) if name else None
        return sandbox if sandbox and self.key_id(sandbox) == key_id else None

    async def await_key_id(self, key_id: str) -> None:
        """Return once there is a Sandbox whose session key has this id."""
        with _watching(self._expected_key_ids, key_id) as changed:
            while self.find_by_key_id(key_id) is None:
                changed.clear()
                await changed.wait()

    def is_former(self, key_id: str) -> bool:
        """Whether the Sandbox of this key id is known to be gone, or was given up."""
        return key_id in self._former_key_ids

    def give_up(self, key_id: str) -> None:
        """Regard the Sandbox of this key id as gone, until one is seen."""
        remember(self._former_key_ids, key_id, None)

    def owned_by(self, owner: str | None) -> list[Sandbox]:
        """All Sandboxes of this owner, or of all owners if it is None, in no order."""
        names = self._sessions if owner is None else self._owned.get(owner, ())
        return [found for name in tuple(names) if (found := self.get(name))]

    def key_id(self, sandbox: Sandbox) -> str:
        """The id of the sandbox's session key, even before the operator reports it."""
        return sandbox.status.key_id or self._keys.key_id(sandbox.metadata.uid)

    def remember(self, item: KubeObject) -> Sandbox:
        """Store what the API server has just answered, without waiting for the informer.

        If the informer has already seen the Sandbox's end, the answer is outdated and ignored.
        """
        sandbox = Sandbox.model_validate(item)
        name = sandbox.metadata.name
        known = self._newest(name)
        if _version(sandbox) > max(self.informer.version, _version(known) if known else 0):
            self._ahead[name] = sandbox
            self._changed(name)
        return sandbox

    def forget(self, sandbox: Sandbox) -> None:
        """Regard this Sandbox, by UID, as deleted."""
        if self._newest(sandbox.metadata.name) is not None:
            self._deleted[sandbox.metadata.name] = sandbox.metadata.uid
        self._changed(sandbox.metadata.name)

    def listen(self, listener: Callable[[str, Sandbox | None], None]) -> None:
        """Call `listener(name, result of get(name))` at each change of any Sandbox."""
        self._listeners.append(listener)

    def follow(self, follower: Callable[[str, Set[str]], None]) -> None:
        """Call `follower(name, owners)` at each change, after the listeners. Owners: whose Sandbox it was, and is."""
        self._followers.append(follower)

    def watching(self, name: str) -> AbstractContextManager[asyncio.Event]:
        """An event that is set at each change of this Sandbox; the caller clears it."""
        return _watching(self._watchers, name)

    def _newest(self, name: str) -> Sandbox | None:
        ahead, seen = self._ahead.get(name), self.informer.get(name)
        # While a list is read, its objects are newer than the informer's version.
        if ahead and _version(ahead) > max(self.informer.version, _version(seen) if seen else 0):
            return ahead
        self._ahead.pop(name, None)
        return seen

    def _on_change(self, name: str, _: Sandbox | None) -> None:
        if name in self._deleted and self._newest(name) is None:
            del self._deleted[name]
        self._changed(name)

    def _changed(self, name: str) -> None:
        former = self._key_ids.pop(name, "")
        self._names.pop(former, None)
        sandbox = self.get(name)
        owners = self._index_session(name, (sandbox.spec.owner, sandbox.spec.session_id) if sandbox else None)
        key_id = self.key_id(sandbox) if sandbox else ""
        if key_id:
            self._key_ids[name], self._names[key_id] = key_id, name
            for event in self._expected_key_ids.get(key_id, ()):
                event.set()
        if former and former != key_id:
            self.give_up(former)
        for listener in self._listeners:
            listener(name, sandbox)
        for follower in self._followers:
            follower(name, owners)
        for event in self._watchers.get(name, ()):
            event.set()

    def _index_session(self, name: str, session: tuple[str, str] | None) -> Set[str]:
        """Gives the owners whose it was, and is."""
        before = self._sessions.pop(name, None)
        if before is not None:
            names = self._owned[before[0]]
            names.discard(name)
            if not names:
                del self._owned[before[0]]
            if others := self._of_session.pop(before, frozenset()) - {name}:
                self._of_session[before] = others
        if session is not None:
            owner, session_id = self._sessions[name] = session
            self._owned.setdefault(owner, set()).add(name)
            # Sandboxes that were made by hand may have no session id.
            if owner and session_id:
                self._of_session[session] = self._of_session.get(session, frozenset()) | {name}
        return {whose[0] for whose in (before, session) if whose is not None}


@contextmanager
def _watching(watchers: dict[str, set[asyncio.Event]], of: str) -> Generator[asyncio.Event]:
    event = asyncio.Event()
    mine = watchers.setdefault(of, set())
    mine.add(event)
    try:
        yield event
    finally:
        mine.discard(event)
        if not mine:
            watchers.pop(of, None)


def _version(sandbox: Sandbox) -> int:
    # Resource versions are comparable as numbers since Kubernetes 1.35 (KEP-5504); with etcd they always were.
    return int(sandbox.metadata.resource_version)
