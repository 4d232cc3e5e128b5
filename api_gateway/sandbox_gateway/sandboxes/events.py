"""Kubernetes Events about a sandbox and about the objects with its pod's name, read on demand.

A read costs three lists, each over all Events of the namespace. So an answer is used again for a second, and each owner
has one read in progress at a time.
"""

import asyncio
from weakref import WeakValueDictionary

from sandbox_common.cluster_events import ClusterEvent
from sandbox_common.kube import KubeClient
from sandbox_common.sandboxes.events import events_about
from sandbox_crds.models import Sandbox

_SECONDS = 3.0
FRESH_SECONDS = 1.0


class ClusterEvents:
    """The Events of one namespace."""

    def __init__(self, client: KubeClient, namespace: str) -> None:
        self._client = client
        self._namespace = namespace
        self._reads: dict[str, asyncio.Task[list[ClusterEvent]]] = {}
        """The reads of the last second, by UID."""
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        """By owner."""

    async def about(self, sandbox: Sandbox) -> list[ClusterEvent]:
        """The Events about this Sandbox, its pod and its volume claim, in no order; at most a second old.

        Raises ApiError, KubeClient's errors if there is no connection, and TimeoutError when other reads take too long.
        """
        uid = sandbox.metadata.uid
        read = self._reads.get(uid)
        if read is None:
            read = self._reads[uid] = asyncio.create_task(self._in_turn(sandbox))
            read.add_done_callback(lambda done: self._keep(uid, done))
        return await asyncio.shield(read)

    def _keep(self, uid: str, read: asyncio.Task[list[ClusterEvent]]) -> None:
        """Keep a successful read for a while."""
        if read.cancelled() or read.exception():
            del self._reads[uid]
        else:
            asyncio.get_running_loop().call_later(FRESH_SECONDS, self._reads.pop, uid)

    async def _in_turn(self, sandbox: Sandbox) -> list[ClusterEvent]:
        turn = self._turns.setdefault(sandbox.spec.owner, asyncio.Lock())
        async with asyncio.timeout(_SECONDS), turn:
            return await events_about(self._client, self._namespace, sandbox)
