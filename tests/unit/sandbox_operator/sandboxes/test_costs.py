"""What one event costs among many sandboxes: nothing for the others, neither in memory nor at the API server."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, NoReturn, cast

import orjson
import pytest

from sandbox_common.kube import Informer, KubeClient, KubeObject, Resource
from sandbox_common.kube.resources import PODS
from sandbox_crds.models import Sandbox
from sandbox_crds.names import CONTAINER, pod_name
from sandbox_operator.agents.agent_server import AgentServers
from sandbox_operator.caches import Caches
from sandbox_operator.term import Term
from sandbox_operator.watching.glue import feed
from sandbox_operator.watching.store import Store
from unit.sandbox_operator.samples import IMAGE, KEYS

COUNT = 40
STAMP = "2026-11-23T12:00:00Z"
CLASS: KubeObject = {
    "metadata": {"name": "default", "uid": "class", "resourceVersion": "1"},
    "spec": {"egress": "Internet"},
}


def named(number: int) -> str:
    return f"sandbox-{number}"


def ready(since: str = STAMP) -> KubeObject:
    return {"type": "Ready", "status": "True", "reason": "Ready", "message": "", "lastTransitionTime": since}


def sandbox(number: int, version: int = 1) -> KubeObject:
    """One that is ready, and has been told to be."""
    name, uid = named(number), f"uid-{number}"
    metadata = {"name": name, "uid": uid, "generation": 1, "creationTimestamp": STAMP}
    status = {
        "observedGeneration": 1,
        "conditions": [ready()],
        "podName": pod_name(name, uid),
        "podUID": f"pod-{number}",
        "podIP": "192.0.2.1",
        "keyID": KEYS.key_id(uid),
        "launch": "Cold",
        "startTime": STAMP,
        "readyTime": STAMP,
        "firstReadyTime": STAMP,
    }
    spec = {"image": IMAGE, "service": "None"}
    return {"metadata": {**metadata, "resourceVersion": str(version)}, "spec": spec, "status": status}


def pod(number: int, version: int = 1, phase: str = "Running") -> KubeObject:
    """The sandbox's, as it is once it is ready."""
    name, uid = named(number), f"uid-{number}"
    running = {"name": CONTAINER, "ready": True, "restartCount": 0, "state": {"running": {"startedAt": STAMP}}}
    return {
        "metadata": {
            "name": pod_name(name, uid),
            "uid": f"pod-{number}",
            "resourceVersion": str(version),
            "creationTimestamp": STAMP,
            "labels": {"sandbox.openhands.dev/sandbox": name},
            "ownerReferences": [{"uid": uid, "controller": True}],
        },
        "spec": {"nodeName": "node", "containers": [{"name": CONTAINER, "image": IMAGE}]},
        "status": {
            "phase": phase,
            "podIP": "192.0.2.1",
            "conditions": [ready()],
            "containerStatuses": [running],
        },
    }


class Cluster:
    """A client that lists these objects, and watches what it is told. All else that is `asked` of it fails."""

    def __init__(self) -> None:
        self.lines = asyncio.StreamReader()
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> NoReturn:
        self.asked.append(name)
        raise AttributeError(name)

    async def pages(self, resource: Resource, *_: Any, **__: str) -> AsyncGenerator[KubeObject]:
        one = pod if resource is PODS else sandbox
        yield {"metadata": {"resourceVersion": "1"}, "items": [one(number) for number in range(COUNT)]}

    @asynccontextmanager
    async def watch(self, *_: Any, **__: str) -> AsyncGenerator[asyncio.StreamReader]:
        yield self.lines

    def tell(self, item: KubeObject) -> None:
        self.lines.feed_data(orjson.dumps({"type": "MODIFIED", "object": item}) + b"\n")


@pytest.fixture
async def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
async def caches(cluster: Cluster) -> AsyncIterator[Caches]:
    """Of a namespace with many sandboxes that are all ready."""
    client = cast(KubeClient, cluster)
    caches = Caches(client, "here")
    caches.classes.put(CLASS)
    await caches.sandboxes.sweep(client, "here")
    following = asyncio.create_task(caches.pods.run())
    await caches.pods.wait_synced()
    yield caches
    following.cancel()


@pytest.fixture
def term(caches: Caches, cluster: Cluster) -> Term:
    """A leader without workers: what is to be looked at stays in its queue."""
    term = Term(caches, cast(KubeClient, cluster), "here", KEYS, cast(AgentServers, None), None)
    caches.listener = term
    return term


@pytest.fixture
def one_by_one(term: Term, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on nobody may go through all objects."""

    def refuse(_: object) -> NoReturn:
        raise AssertionError("goes through all objects")

    monkeypatch.setattr(Store, "__iter__", refuse)
    monkeypatch.setattr(Informer, "__iter__", refuse)


async def until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while True:
            if reached():
                return
            await asyncio.sleep(0)


async def waiting(term: Term) -> list[str]:
    return [await term.queue.get() for _ in range(len(term.queue))]


@pytest.mark.usefixtures("one_by_one")
async def test_an_event_marks_its_own_sandbox_alone(term: Term, caches: Caches, cluster: Cluster) -> None:
    feed(caches.sandboxes, {"type": "MODIFIED", "object": sandbox(7, version=2)})
    feed(caches.sandboxes, {"type": "DELETED", "object": sandbox(8, version=3)})
    cluster.tell(pod(9, version=4, phase="Failed"))
    await until(lambda: caches.pods.version == 4)
    assert await waiting(term) == [named(7), named(8), named(9)]


async def test_a_class_marks_the_sandboxes_of_it(term: Term, caches: Caches) -> None:
    caches.classes.put({**CLASS, "metadata": {**CLASS["metadata"], "resourceVersion": "2"}})
    assert len(await waiting(term)) == COUNT


async def test_a_take_over_asks_for_nothing_where_nothing_changed(term: Term, cluster: Cluster) -> None:
    working = asyncio.create_task(term.run(workers=2))
    await until(lambda: len(term.queue) > COUNT / 2)
    await until(lambda: len(term.queue) == 0)
    assert cluster.asked == []
    working.cancel()


async def test_a_take_over_begins_with_what_no_operator_has_seen(term: Term, caches: Caches) -> None:
    new = sandbox(COUNT, version=2)
    del new["status"]
    resumed = sandbox(7, version=2)
    resumed["metadata"]["generation"] = 2
    caches.listener = None
    for item in (new, resumed):
        caches.sandboxes.put(item)
    working = asyncio.create_task(term.run(workers=0))
    await until(lambda: len(term.queue) > COUNT / 2)
    assert {await term.queue.get(), await term.queue.get()} == {named(7), named(COUNT)}
    working.cancel()


async def test_lists_of_what_is_known_cost_no_second_look(
    term: Term, caches: Caches, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: object) -> NoReturn:
        raise AssertionError("decodes what it knows")

    monkeypatch.setattr(Sandbox, "model_validate", refuse)
    await caches.sandboxes.sweep(cast(KubeClient, cluster), "here")
    for number in range(COUNT):
        feed(caches.sandboxes, {"type": None, "object": sandbox(number)})
    assert await waiting(term) == []
