"""Passes over one sandbox when the API server fails and caches lag."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import aiohttp
import pytest

from sandbox_crds.kube import ApiError, Informer
from sandbox_crds.kube.resources import SANDBOX_CLASSES, SANDBOXES
from sandbox_crds.models import Sandbox, SandboxClass
from sandbox_crds.reasons import Reason
from sandbox_operator.agent_server import AgentServers
from sandbox_operator.api import Api
from sandbox_operator.plan import LOOK_INTERVAL, PATIENCE, SILENCE
from sandbox_operator.pods import Pod, decode
from sandbox_operator.queue import WorkQueue
from sandbox_operator.reconciler import Reconciler
from sandbox_operator.store import Store
from sandbox_operator.times import rfc3339
from unit.sandbox_operator.faults import Server
from unit.sandbox_operator.samples import (
    IMAGE,
    KEY_ID,
    KEYS,
    LATER,
    NOW,
    UID,
    pod,
    ready,
    runs,
    status,
    waits,
)

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


class Agents(AgentServers):
    """Notes what agent servers are asked; `meanwhile` happens before their answer."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.meanwhile: Callable[[], None] = lambda: None

    async def prepare_for_pause(self, sandbox: Sandbox, ip: str, key_id: str) -> None:
        self.asked.append((ip, key_id))
        self.meanwhile()


class Scene:
    """One Sandbox `one`, one class, and a cache of pods that shows what it is given."""

    def __init__(self) -> None:
        self.server = Server()
        self.queue = Queue()
        self.pods: dict[str, Pod] = {}
        self.sandboxes: Store[Sandbox] = Store(SANDBOXES, Sandbox, lambda _: None)
        self.classes: Store[SandboxClass] = Store(SANDBOX_CLASSES, SandboxClass, lambda _: None)
        self.set_class(1)
        self.now = NOW
        self.agents = Agents()
        self.reconciler = Reconciler(
            Api(self.server.client, "here"),
            self.agents,
            KEYS,
            self.queue,
            self.sandboxes,
            self.classes,
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

    def set_class(self, version: int, **spec: Any) -> None:
        """Make or change the class `default`."""
        metadata = {"name": "default", "uid": "class", "resourceVersion": str(version)}
        self.classes.put({"metadata": metadata, "spec": spec})

    @property
    def stored(self) -> dict[str, Any]:
        """The Sandbox as the API server has it."""
        return self.server.objects["sandboxes", "one"]

    def edit(self, *, seen: bool = True, **spec: Any) -> None:
        """Somebody changes the spec, and the watch tells it if it is `seen`."""
        metadata = self.stored["metadata"]
        metadata = {
            **metadata,
            "generation": metadata["generation"] + 1,
            "resourceVersion": str(int(metadata["resourceVersion"]) + 1),
        }
        self.server.objects["sandboxes", "one"] = {
            **self.stored,
            "metadata": metadata,
            "spec": {**self.stored["spec"], **spec},
        }
        if seen:
            self.sandboxes.put(self.stored)

    async def start(self) -> None:
        """A sandbox that is ready, as all know."""
        self.add()
        await self.step()
        self.show(answering)
        await self.step()

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
        return self.stored["status"]["conditions"][0]["reason"]

    def events(self, reason: str) -> list[dict[str, Any]]:
        """The Events of this reason."""
        return [
            body
            for (plural, _), body in self.server.objects.items()
            if plural == "events" and body.get("reason") == reason
        ]


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
    assert await scene.step() == ["get sandboxes", "create events", *COLD]


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
    scene.edit(seen=False)
    with pytest.raises(ApiError, match="modified"):
        await scene.step()
    scene.sandboxes.put(scene.stored)
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
    assert await scene.work() == ["create secrets", "get secrets", "create pods", "list events", "patch sandboxes"]


async def test_a_pod_is_prepared_for_its_pause(scene: Scene) -> None:
    await scene.start()
    scene.edit(suspend=True)
    assert await scene.step() == ["delete pods"]
    assert scene.agents.asked == [("10.244.0.7", KEY_ID)]
    # The pod ends; nobody asks again.
    assert await scene.step() == []
    assert len(scene.agents.asked) == 1


async def test_a_pod_whose_sandbox_is_resumed_while_it_is_prepared_goes_on(scene: Scene) -> None:
    await scene.start()
    scene.edit(suspend=True)
    scene.agents.meanwhile = lambda: scene.edit(suspend=False)
    # Only the generation is new.
    assert await scene.step() == ["patch sandboxes"]
    assert scene.told == Reason.READY


async def test_a_sandbox_that_goes_while_its_pod_is_prepared(scene: Scene) -> None:
    await scene.start()
    scene.edit(suspend=True)
    scene.agents.meanwhile = lambda: scene.sandboxes.drop("one", UID)
    assert await scene.step() == ["delete pods"]
    assert await scene.step() == []


async def test_a_restart_is_told_before_the_pod_goes(scene: Scene) -> None:
    await scene.start()
    scene.now = NOW + timedelta(seconds=1)
    scene.edit(restartedAt=rfc3339(scene.now))
    assert await scene.step() == ["patch sandboxes", "delete pods"]
    assert (scene.told, len(scene.agents.asked)) == (Reason.POD_TERMINATING, 1)
    del scene.server.objects["pods", pod().name]
    scene.pods.clear()
    assert await scene.step() == ["get sandboxes", "create secrets", "get secrets", "create pods"]
    [body] = [body for (plural, _), body in scene.server.objects.items() if plural == "pods"]
    assert decode(body).restarted_at == rfc3339(scene.now)


async def test_a_lost_pod_is_told_once(scene: Scene) -> None:
    await scene.start()
    del scene.server.objects["pods", pod().name]
    scene.pods.clear()
    scene.server.fail["create secrets"] = [TimeoutError()]
    with pytest.raises(TimeoutError):
        await scene.step()
    # The first attempt has posted the event and made the pod, and the next one cannot know it before it asks.
    lost = ["get sandboxes", "create events"]
    assert await scene.step() == [*lost, "create secrets", "get secrets", "create pods", "get pods", "patch sandboxes"]
    [event] = scene.events("PodLost")
    assert event["metadata"]["name"].endswith("uid-2")
    assert await scene.step() == []


async def test_a_pod_whose_loss_follows_from_a_suspension_that_is_not_known_yet_is_not_replaced(scene: Scene) -> None:
    """Another operator, or this one before its watch broke, has deleted the pod; the watch has not told why."""
    await scene.start()
    scene.edit(suspend=True, seen=False)
    del scene.server.objects["pods", pod().name]
    scene.pods.clear()
    scene.now = LATER
    assert await scene.step() == ["get sandboxes"]
    assert await scene.step() == ["patch sandboxes"]
    assert (scene.told, scene.events("PodLost")) == (Reason.SUSPENDED, [])


async def test_events_about_a_pod_that_does_not_say_why_it_waits_are_read_now_and_then(scene: Scene) -> None:
    scene.add()
    await scene.step()
    scene.show(lambda seen: replace(waits("ContainerCreating"), uid=seen.uid))
    event = {
        "metadata": {"name": "why", "creationTimestamp": rfc3339(NOW)},
        "reason": "FailedMount",
        "note": 'configmap "x" not found',
        "regarding": {"kind": "Pod", "name": pod().name, "uid": scene.pods[pod().name].uid},
    }
    scene.server.objects["events", "why"] = event
    scene.server.objects["events", "broken"] = {"metadata": {"name": "broken"}}
    scene.now = NOW + SILENCE
    assert await scene.step() == ["list events", "patch sandboxes"]
    assert scene.server.queries == [{"fieldSelector": f"regarding.name={pod().name}"}]
    assert scene.told == Reason.CREATE_CONTAINER_ERROR
    assert scene.queue.put_off[-1] == LOOK_INTERVAL.total_seconds()
    assert await scene.step() == []
    scene.now += LOOK_INTERVAL
    assert await scene.step() == ["list events"]


@pytest.mark.parametrize("failure", [ApiError(403, "Forbidden", ""), TimeoutError(), aiohttp.ClientConnectionError()])
async def test_without_events_everything_goes_on(scene: Scene, failure: Exception) -> None:
    scene.add()
    await scene.step()
    scene.show()
    scene.now = LATER
    scene.server.fail["list events"] = [failure]
    assert await scene.step() == ["list events", "patch sandboxes"]
    assert scene.told == Reason.PENDING
    assert await scene.step() == []


async def test_a_life_that_ends_is_announced_and_ended_once(scene: Scene) -> None:
    await scene.start()
    scene.set_class(2, maximumLifeSeconds=100)
    scene.now = NOW + timedelta(seconds=90)
    assert await scene.step() == ["create events", "patch sandboxes"]
    assert [each["type"] for each in scene.stored["status"]["conditions"]] == ["Ready", "Expiring"]
    assert scene.queue.put_off[-1] == 10
    assert await scene.step() == []
    scene.now = NOW + timedelta(seconds=100)
    assert await scene.step() == ["delete sandboxes", "create events"]
    assert len(scene.events("ExpiringSoon")) == len(scene.events("Expired")) == 1
    assert await scene.step() == []


async def test_a_sandbox_that_has_changed_is_looked_at_again_before_its_end(scene: Scene) -> None:
    await scene.start()
    scene.set_class(2, maximumLifeSeconds=100)
    scene.now = NOW + timedelta(seconds=90)
    await scene.step()
    scene.now = NOW + timedelta(seconds=100)
    scene.edit(maximumLifeSeconds=0, seen=False)
    with pytest.raises(ApiError, match="modified"):
        await scene.step()
    scene.sandboxes.put(scene.stored)
    assert await scene.step() == ["patch sandboxes"]
    assert [each["type"] for each in scene.stored["status"]["conditions"]] == ["Ready"]
    assert scene.events("Expired") == []


async def test_a_start_that_takes_too_long_is_suspended(scene: Scene) -> None:
    scene.set_class(2, progressDeadlineSeconds=60)
    await scene.start()
    scene.server.objects["pods", pod().name]["metadata"]["uid"] = "another"
    scene.show(lambda _: replace(runs(), uid="another", created=LATER))
    scene.now = LATER + PATIENCE
    # This process does not know whether all was made for the other pod.
    assert await scene.step() == ["get sandboxes", "create secrets", "get secrets", "patch sandboxes"]
    scene.now += timedelta(seconds=60)
    assert await scene.step() == ["patch sandboxes", "create events"]
    assert (scene.stored["spec"]["suspend"], scene.stored["spec"]["suspendReason"]) == (True, "StartTimeout")
    assert await scene.step() == ["delete pods"]
    scene.pods.clear()
    assert await scene.step() == ["patch sandboxes"]
    assert scene.told == Reason.START_TIMEOUT
    assert scene.agents.asked == []


async def test_a_sandbox_that_goes_before_it_is_suspended_is_dropped(scene: Scene) -> None:
    scene.set_class(2, progressDeadlineSeconds=60)
    status_ = status(Reason.STARTING, first_ready_time=rfc3339(NOW)).model_dump(by_alias=True)
    scene.add(**status_)
    scene.pods[pod().name] = runs()
    del scene.server.objects["sandboxes", "one"]
    scene.now = NOW + timedelta(seconds=60)
    assert await scene.step() == ["patch sandboxes"]
    assert (scene.sandboxes.get("one"), scene.events("StartTimeout")) == (None, [])
