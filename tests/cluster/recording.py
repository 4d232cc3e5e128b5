"""What a run of this tier leaves behind for all to read, and the secrets that must not be in it."""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from cluster.needles import Needles, entries, tokens
from local_cluster.audit_log import events
from local_cluster.paths import State
from sandbox_common.keys import MasterKeys
from sandbox_common.kube import Informer, KubeClient, KubeObject
from sandbox_common.kube.resources import (
    EVENTS,
    LEASES,
    PODS,
    SANDBOX_CLASSES,
    SANDBOX_POOLS,
    SANDBOXES,
    SECRETS,
    SERVICES,
    VOLUME_CLAIMS,
)
from sandbox_common.kube.resources import Resource as KubeResource

_READABLE = (
    *(EVENTS, LEASES, PODS, SANDBOX_CLASSES, SANDBOX_POOLS, SANDBOXES, SERVICES, VOLUME_CLAIMS),
    KubeResource("", "v1", "configmaps", "ConfigMap"),
    KubeResource("apps", "v1", "deployments", "Deployment"),
)
_LOOK_SECONDS = 0.2
_VERSION = "openhands-sandbox-master-key:v"


class Keeper:
    """Keeps log files that are deleted or rotated while tests run, as hard links in `directory`."""

    def __init__(self, state: State, namespaces: str) -> None:
        self._state = state
        self._namespaces = namespaces
        self.directory = state.root / "kept-logs"
        if self.directory.exists():
            self.close()  # of a run that was killed
        self.directory.mkdir()
        self._kept: set[int] = set()

    def look(self) -> None:
        """Keep what is new."""
        pods = self._state.logs / "pods"
        for path in (*self._state.logs.glob("audit*.log"), *pods.glob(f"{self._namespaces}*/*/*")):
            try:
                inode = path.stat().st_ino
                if inode not in self._kept:
                    os.link(path, self.directory / f"{inode}!{'!'.join(path.relative_to(self._state.logs).parts)}")
                    self._kept.add(inode)
            except FileNotFoundError:
                pass  # deleted right now, so it has been kept before

    def files(self) -> Iterator[tuple[str, Path]]:
        """All log files of the run, by what they were called."""
        for path in sorted(self.directory.iterdir()):
            yield path.name.partition("!")[2].replace("!", "/"), path

    def close(self) -> None:
        """Forget them."""
        for _, path in self.files():
            path.unlink()
        self.directory.rmdir()


class Record:
    """All states of all objects in namespaces whose names begin so, and all logs; but for Secrets, whose entries are
    the secrets."""

    def __init__(self, state: State, namespaces: str) -> None:
        self.namespaces = namespaces
        self.logs = Keeper(state, namespaces)
        self._state = state
        self._since = datetime.now(UTC)
        self._secrets: dict[str, str] = {}
        self._words: dict[str, set[str]] = {}

    @classmethod
    @asynccontextmanager
    async def following(cls, client: KubeClient, state: State, namespaces: str) -> AsyncGenerator["Record"]:
        """One that has seen what was there at the start."""
        record = cls(state, namespaces)
        informers = [
            record._informer(client, SECRETS, record.learn),
            *(record._informer(client, resource, partial(record.note, resource.plural)) for resource in _READABLE),
        ]
        tasks = [asyncio.create_task(informer.run()) for informer in informers]
        tasks.append(asyncio.create_task(record._look()))
        try:
            for informer in informers:
                await informer.wait_synced()
            yield record
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            record.logs.close()

    def _informer(
        self, client: KubeClient, resource: KubeResource, see: Callable[[KubeObject], None]
    ) -> Informer[None]:
        """Calls `see` for each state of each object; `decode` is called for all of them, whatever their namespace."""
        everywhere = replace(resource, namespaced=False)

        def decode(item: KubeObject) -> None:
            if item["metadata"].get("namespace", "").startswith(self.namespaces):
                see(item)

        return Informer(client, everywhere, "", decode)

    async def _look(self) -> None:
        while True:
            await asyncio.to_thread(self.logs.look)
            await asyncio.sleep(_LOOK_SECONDS)

    def learn(self, secret: KubeObject) -> None:
        """A Secret."""
        self._secrets |= entries(secret)

    def note(self, what: str, item: KubeObject) -> None:
        """An object, of what kind."""
        self.add(what, orjson.dumps(item).decode())

    def add(self, what: str, text: str) -> None:
        """Something else that can be read, such as `metrics`."""
        # Not read and then assigned: this is called from two threads.
        self._words.setdefault(what, set()).update(tokens(text))

    @property
    def secrets(self) -> Mapping[str, str]:
        """All that there have been, by where they belong; those that are derived from master keys, too."""
        internal = {
            f"{label}, internal token": MasterKeys.of({1: value.encode()}).internal_token()
            for label, value in self._secrets.items()
            if _VERSION in label
        }
        return self._secrets | internal

    def leaks(self) -> list[str]:
        """`secret in place` for each that can be read somewhere; sorted, and without a secret itself."""
        needles = Needles(self.secrets)
        found = [f"{label} in {what}" for what, words in self._words.items() for label in needles.find(words)]
        for name, path in self.logs.files():
            seen: set[str] = set()
            with path.open(errors="replace") as lines:
                for line in lines:
                    seen |= tokens(line)
            found += [f"{label} in log {name}" for label in needles.find(seen)]
        return sorted(found)

    def read(self) -> Mapping[str, int]:
        """How much can be looked at: words by kind of object, and how many log files of pods and of `audit`."""
        kinds = Counter("audit" if name.startswith("audit") else "pods" for name, _ in self.logs.files())
        return {what: len(words) for what, words in self._words.items()} | {
            f"logs of {kind}": number for kind, number in kinds.items()
        }

    def audit(self) -> Iterator[dict[str, Any]]:
        """The events of the audit log since the beginning."""
        parts = [path for name, path in self.logs.files() if name.startswith("audit")]
        for path in sorted(parts, key=lambda path: path.stat().st_mtime):
            for event in events(path):
                if datetime.fromisoformat(event["requestReceivedTimestamp"]) >= self._since:
                    yield event
