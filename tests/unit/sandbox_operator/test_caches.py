"""What the caches make of watches, for metrics."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, cast

import orjson
import pytest

from sandbox_common.kube import KubeClient, KubeObject, Resource
from sandbox_common.kube.resources import EVENTS
from sandbox_crds.api import SANDBOX_LABEL
from sandbox_operator.caches import Caches
from unit.sandbox_operator.counted import counted

STAMP = "2026-11-23T12:00:00Z"


def pod(name: str) -> KubeObject:
    metadata = {"name": name, "uid": f"uid-of-{name}", "resourceVersion": "1", "creationTimestamp": STAMP}
    return {
        "metadata": {**metadata, "labels": {SANDBOX_LABEL: name}},
        "spec": {"containers": []},
        "status": {"phase": "Pending"},
    }


def pulled(pod_name: str, version: int, pod_uid: str = "") -> KubeObject:
    """The Event of a pull that took 2 s."""
    return {
        "metadata": {"name": f"event-{version}", "resourceVersion": str(version), "creationTimestamp": STAMP},
        "regarding": {"kind": "Pod", "name": pod_name, "uid": pod_uid or f"uid-of-{pod_name}"},
        "reason": "Pulled",
        "note": 'Successfully pulled image "agent:1" in 2s (2s including waiting). Image size: 1000 bytes.',
        "deprecatedLastTimestamp": STAMP,
        "type": "Normal",
    }


class Cluster:
    """A client that lists one pod and the Event of its pull, and watches the Events that a test gives it."""

    def __init__(self) -> None:
        self.lines = asyncio.StreamReader()

    async def pages(self, resource: Resource, *_: Any, **__: str) -> AsyncGenerator[KubeObject]:
        items = [pulled("one", 1)] if resource is EVENTS else [pod("one")]
        yield {"metadata": {"resourceVersion": "1"}, "items": items}

    @asynccontextmanager
    async def watch(self, resource: Resource, *_: Any, **__: str) -> AsyncGenerator[asyncio.StreamReader]:
        yield self.lines if resource is EVENTS else asyncio.StreamReader()

    def tell(self, item: KubeObject) -> None:
        self.lines.feed_data(orjson.dumps({"type": "ADDED", "object": item}) + b"\n")


@pytest.mark.parametrize("leads", [False, True])
async def test_the_leader_counts_the_pulls_of_its_pods_since_it_began(leads: bool) -> None:
    cluster = Cluster()
    caches = Caches(cast(KubeClient, cluster), "here")
    caches.lives.leads = lambda: leads
    pull_events = caches._pull_events  # pyright: ignore[reportPrivateUsage]
    following = [asyncio.create_task(caches.pods.run())]
    await caches.pods.wait_synced()
    with counted() as found:
        following.append(asyncio.create_task(pull_events.run()))
        await pull_events.wait_synced()
        for event in (pulled("one", 2), pulled("one", 3, "its predecessor"), pulled("a pod of others", 4)):
            cluster.tell(event)
        for _ in range(20):
            await asyncio.sleep(0)
        assert pull_events.get("event-4")
    assert found == ({"pull_seconds": 1} if leads else {})
    for task in following:
        task.cancel()
