"""Whether a pod has an address at this moment.

A pod's address can be another pod's a moment later, while a status still names the first. A connection, however,
belongs to one pod for as long as it exists. So whoever sends something secret connects first, then asks here, and then
sends: if the pod has the address after the connection was made, the connection leads to this pod.
"""

import asyncio
from collections.abc import Awaitable
from typing import Any

from sandbox_common.kube import KubeClient, KubeObject
from sandbox_common.kube.resources import PODS

READ_SECONDS = 3.0
"""For one read of a pod."""
_BEFORE_SECONDS = 0.5
"""How long a read waits for the one before."""

_ENDED = frozenset({"Succeeded", "Failed"})


class PodIdentities:
    """Reads pods from the API server.

    One read is for all who ask about a pod before it begins. Whoever asks later waits for the next one, since the
    connection may be newer than what the read sees. It belongs to the running event loop.
    """

    def __init__(self, client: KubeClient, namespace: str) -> None:
        self._client = client
        self._namespace = namespace
        self._under_way: dict[str, asyncio.Task[KubeObject | None]] = {}
        self._next: dict[str, asyncio.Task[KubeObject | None]] = {}

    async def denial(self, name: str, uid: str, ip: str) -> str:
        """What has become of the pod with this name and UID; "" if it has this address.

        It is so at a moment after the call. Raises one of `sandbox_common.kube.FAILURES`, within a few seconds.
        """
        if not (name and uid and ip):
            return "is not known"
        read = self._next.get(name)
        if read is None:
            read = self._next[name] = asyncio.create_task(self._read(name, self._under_way.get(name)))
            read.add_done_callback(_note)
        return denial(await asyncio.shield(read), uid, ip)

    async def _read(self, name: str, before: Awaitable[Any] | None) -> KubeObject | None:
        if before is not None:
            # They rarely last longer. If they do, many connections would wait for several reads.
            await asyncio.wait({asyncio.ensure_future(before)}, timeout=_BEFORE_SECONDS)
        read = self._under_way[name] = self._next.pop(name)
        try:
            async with asyncio.timeout(READ_SECONDS):
                # Without a resource version, the API server answers with what etcd has now.
                return await self._client.find(PODS, self._namespace, name)
        finally:
            if self._under_way.get(name) is read:
                del self._under_way[name]


def denial(pod: KubeObject | None, uid: str, ip: str) -> str:
    """What has become of the pod with this UID; "" if `pod` is this pod and has this address.

    A pod that is being deleted or has ended may lose its address before its object says so.
    """
    if pod is None or pod["metadata"]["uid"] != uid:
        return "is gone"
    if "deletionTimestamp" in pod["metadata"]:
        return "is being deleted"
    status: dict[str, Any] = pod.get("status") or {}
    if status.get("phase") in _ENDED:
        return "has ended"
    return "" if status.get("podIP") == ip else "has another address"


def _note(read: asyncio.Task[Any]) -> None:
    """Whoever asked may be gone, and then nobody else looks at the error."""
    if not read.cancelled():
        read.exception()
