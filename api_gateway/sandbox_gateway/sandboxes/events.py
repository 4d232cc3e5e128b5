"""Kubernetes Events about a sandbox and about the objects with its pod's name, read on demand.

A read costs three lists, each over all Events of the namespace. So an answer is used again for a second, and each owner
has one read in progress at a time.
"""

import asyncio
from itertools import chain
from weakref import WeakValueDictionary

from sandbox_common.cluster_events import ClusterEvent, decode
from sandbox_common.kube import KubeClient, unreadable
from sandbox_common.kube.resources import EVENTS
from sandbox_crds.models import Sandbox
from sandbox_crds.names import pod_name

_LIMIT = "500"
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
            return await self._read(sandbox)

    async def _read(self, sandbox: Sandbox) -> list[ClusterEvent]:
        name, uid = sandbox.metadata.name, sandbox.metadata.uid
        # The name that depends on the Sandbox's UID, and those of a pod claimed from a pool and of its volume claim.
        names = {pod_name(name, uid), sandbox.status.pod_name, sandbox.status.volume_claim} - {""}
        own, *of_pods = await asyncio.gather(*map(self._regarding, (name, *names)))
        # Another Sandbox may have had this name before.
        return [*(event for event in own if event.uid == uid), *chain(*of_pods)]

    async def _regarding(self, name: str) -> list[ClusterEvent]:
        answer = await self._client.list(EVENTS, self._namespace, fieldSelector=f"regarding.name={name}", limit=_LIMIT)
        return list(unreadable.decoded(EVENTS, answer["items"], decode))
