"""Passes over one sandbox when the API server fails and caches lag."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import aiohttp
import pytest

from sandbox_crds.kube import ApiError, Informer
from sandbox_crds.kube.resources import SANDBOX_CLASSES, SANDBOXES
from sandbox_crds.models import Sandbox, SandboxClass
from sandbox_crds.reasons import Reason
from sandbox_operator.api import Api
from sandbox_operator.pods import Pod, decode
from sandbox_operator.queue import WorkQueue
from sandbox_operator.reconciler import Reconciler
from sandbox_operator.store import Store
from sandbox_operator.times import rfc3339
from unit.sandbox_operator.faults import Server
from unit.sandbox_operator.samples import IMAGE, KEYS, LATER, NOW, UID, ready

COLD = ["create secrets", "create pods"]


class Queue(WorkQueue):
    """Notes what is put off, instead of waiting for it."""

    def __init__(self) -> None:
        super().__init__()
        self.put_off: list[float] = []
        self.retried: list[float] = []
        self.idle = asyncio.Event()

    def done(self, key: str) -> None:
        super().done(key)
        self.idle.set()

    def add_after(self, key: str, seconds: float) -> None:
        self.put_off.append(seconds)

    def retry(self, key: str, at_least: float = 0.0) -> None:
        self.retried.append(at_least)


class Scene:
    """One Sandbox `one`, one class, and a cache of pods that shows what it is given."""

    def __init__(self) -> None:
        self.server = Server()
        self.queue = Queue()
        self.pods: dict[str, Pod] = {}
        self.sandboxes: Store[Sandbox] = Store(SANDBOXES, Sandbox, lambda _: None)
        classes: Store[SandboxClass] = Store(SANDBOX_CLASSES, SandboxClass, lambda _: None)
        classes.put({"metadata": {"name": "default", "uid": "class", "resourceVersion": "1"}})
        self.now = NOW
        self.reconciler = Reconciler(
            Api(self.server.client, "here"),
            KEYS,
            self.queue,
            self.sandboxes,
            classes,
            cast(Informer[Pod], self.pods),
            lambda: self.now,
        )

    def add(self, **status: Any) -> None:
        metadata = {"name": "one", "namespace": "here", "uid": UID, "resourceVersion": "1", "generation": 1}
        body = {
            "metadata": {**metadata, "creationTimestamp": rfc3339(NOW)},
            "spec": {"image": IMAGE, "service": "None"},
            "status": status,
        }
        self.server.objects["sandboxes", "one"] = body
        self.sandboxes.put(body)

    def show(self, change: Callable[[Pod], Pod] = lambda pod: pod) -> None:
        """Let the cache see the pod."""
        [body] = [body for (plural, _), body in self.server.objects.items() if plural == "pods"]
        seen = decode(body)
        self.pods[seen.name] = change(seen)

    async def step(self) -> list[str]:
        """One pass; gives the requests that it has made."""
        before = len(self.server.seen)
        await self.reconciler.reconcile("one")
        return self.server.seen[before:]

    async def work(self) -> list[str]:
        """One pass by a worker, which survives whatever happens."""
        before = len(self.server.seen)
        self.queue.add("one")
        worker = asyncio.create_task(self.reconciler.work())
        await asyncio.wait([worker, asyncio.create_task(self.queue.idle.wait())], return_when=asyncio.FIRST_COMPLETED)
        self.queue.idle.clear()
        assert not worker.done()
        worker.cancel()
        return self.server.seen[before:]

    @property
    def told(self) -> str:
        [condition] = self.server.objects["sandboxes", "one"]["status"]["conditions"]
        return condition["reason"]


@pytest.fixture
def scene() -> Scene:
    return Scene()


def answering(pod: Pod) -> Pod:
    return ready(uid=pod.uid, created=pod.created)


async def test_a_cold_start(scene: Scene) -> None:
    scene.add()
    assert await scene.step() == COLD
    assert scene.queue.put_off == [2.0]
    scene.show(answering)
    assert await scene.step() == ["patch sandboxes"]
    assert scene.told == Reason.READY
    assert await scene.step() == []
    assert scene.queue.retried == []


async def test_nothing_is_made_twice_while_the_cache_lags(scene: Scene) -> None:
    scene.add()
    assert await scene.step() == COLD
    assert await scene.step() == []
    assert await scene.step() == []


async def test_an_unknown_sandbox_is_nobody_s_business(scene: Scene) -> None:
    assert await scene.step() == []


async def test_a_lost_pod_of_a_lost_sandbox_is_not_replaced(scene: Scene) -> None:
    """The watch has not told that the Sandbox is gone; the garbage collector has deleted its pod."""
    scene.add(podName="one-pod", podUID="old")
    del scene.server.objects["sandboxes", "one"]
    assert await scene.step() == ["get sandboxes"]
    assert scene.sandboxes.get("one") is None


async def test_a_lost_pod_of_a_living_sandbox_is_replaced(scene: Scene) -> None:
    scene.add(podName="one-pod", podUID="old")
    assert await scene.step() == ["get sandboxes", *COLD]


async def test_a_refusal_is_told_once_and_tried_again(scene: Scene) -> None:
    scene.add()
    refusal = ApiError(403, "Forbidden", "exceeded quota: small")
    scene.server.fail["create pods"] = [refusal, refusal]
    assert await scene.step() == [*COLD, "patch sandboxes"]
    assert scene.told == Reason.QUOTA_EXCEEDED
    assert await scene.step() == ["create secrets", "get secrets", "create pods"]
    assert scene.queue.retried == [1.0, 1.0]
    assert "create pods" in await scene.step()
    assert len(scene.queue.retried) == 2


async def test_a_status_that_lost_a_race_is_tried_again(scene: Scene) -> None:
    scene.add()
    await scene.step()
    scene.show(answering)
    scene.server.objects["sandboxes", "one"]["metadata"]["resourceVersion"] = "2"
    with pytest.raises(ApiError, match="modified"):
        await scene.step()
    scene.sandboxes.put(scene.server.objects["sandboxes", "one"])
    assert await scene.step() == ["patch sandboxes"]


async def test_a_sandbox_that_goes_before_its_status_is_written_is_dropped(scene: Scene) -> None:
    scene.add()
    await scene.step()
    scene.show(answering)
    del scene.server.objects["sandboxes", "one"]
    assert await scene.step() == ["patch sandboxes"]
    assert scene.sandboxes.get("one") is None


@pytest.mark.parametrize(
    ("failure", "at_least"),
    [
        (ApiError(429, "TooManyRequests", "", 7), 7),
        (ApiError(500, "InternalError", ""), 0),
        (ApiError(409, "Conflict", "quota"), 0),
        (TimeoutError(), 0),
        (aiohttp.ClientConnectionError(), 0),
        (RuntimeError("a defect"), 0),
    ],
)
async def test_a_worker_outlives_all_failures(scene: Scene, failure: Exception, at_least: float) -> None:
    scene.add()
    scene.server.fail["create pods"] = [failure]
    assert await scene.work() == COLD
    assert scene.queue.retried == [at_least]
    scene.now = LATER
    # The Secret is there from the first attempt.
    assert await scene.work() == ["create secrets", "get secrets", "create pods", "patch sandboxes"]
