"""Many starts at the same time through two gateways, with limits that allow some of them."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from control_plane.gateway.support import API_KEY
from control_plane.operator.world import World
from control_plane.races.gateways import OWNER, REPLICAS, Answer, Gateways
from control_plane.races.operators import Operators
from control_plane.waiting import eventually
from local_cluster.control_plane import ControlPlane
from sandbox_common.api_keys import ApiKey, Hash, Limits, Policy, encode
from sandbox_common.keys import api_key_hash
from sandbox_common.kube import Informer, KubeClient, KubeObject
from sandbox_common.kube.resources import PODS, SANDBOXES, SECRETS
from sandbox_common.reasons import Reason
from sandbox_crds.api import API_KEY_LABEL, SANDBOX_LABEL
from sandbox_crds.models import SandboxStatus


@dataclass
class Site:
    """A namespace with an operator, two gateways and one owner, whose pods wait for a node for ever."""

    world: World
    gateways: Gateways
    operators: Operators
    pods: dict[str, str] = field(default_factory=dict[str, str])
    """From pod to Sandbox, as they are now."""
    most_pods: int = 0

    @classmethod
    @asynccontextmanager
    async def open(
        cls, control_plane: ControlPlane, client: KubeClient, namespace: str, master_key_dir: Path, log: Path, hold: int
    ) -> "AsyncGenerator[Site]":
        world = World(client, namespace, "limits")
        # A client pauses one of its sandboxes.
        await world.add_class(workspace={"discardOnSuspension": True})
        arguments = (
            f"--namespace={namespace}",
            f"--master-key-dir={master_key_dir}",
            f"--start-hold-seconds={hold}",
            "--log-level=WARNING",
        )
        async with AsyncExitStack() as stack:
            operators = Operators(control_plane.kubeconfig, namespace, master_key_dir, log)
            await stack.enter_async_context(operators.running())
            running = Gateways.running([control_plane.kubeconfig] * REPLICAS, *arguments)
            site = cls(world, await stack.enter_async_context(running), operators)
            informer = Informer(
                client, PODS, namespace, lambda item: item, label_selector=SANDBOX_LABEL, on_change=site._on_pod
            )
            task = asyncio.create_task(informer.run())
            await informer.wait_synced()
            try:
                yield site
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    def _on_pod(self, name: str, item: KubeObject | None) -> None:
        if item is None or "deletionTimestamp" in item["metadata"]:
            self.pods.pop(name, None)
        else:
            self.pods[name] = item["metadata"]["labels"][SANDBOX_LABEL]
        self.most_pods = max(self.most_pods, len(self.pods))

    async def allow(self, **limits: int) -> None:
        """Give the owner its API key."""
        key = ApiKey("key", OWNER, (Hash(api_key_hash(API_KEY)),), Policy(limits=Limits.model_validate(limits)))
        body = {"metadata": {"name": "key", "labels": {API_KEY_LABEL: "true"}}, "data": encode(key)}
        await self.world.client.create(SECRETS, self.world.namespace, body)

        async def known() -> bool:
            answers = [await self.gateways.call(index, "GET", "/list") for index in range(REPLICAS)]
            return all(answer is not None and answer.status == 200 for answer in answers)

        await eventually(known)

    async def start(self, number: int) -> Answer:
        answer = await self.gateways.call(
            number % REPLICAS, "POST", "/start", image="agent:1", session_id=f"session {number}"
        )
        assert answer is not None
        return answer

    async def sandboxes(self) -> dict[str, str]:
        """Name of each, and why it is not ready."""
        found = await self.world.client.list(SANDBOXES, self.world.namespace)
        return {item["metadata"]["name"]: _reason(item) for item in found["items"]}


def _reason(sandbox: KubeObject) -> str:
    ready = SandboxStatus.model_validate(sandbox.get("status", {})).condition("Ready")
    return ready.reason if ready else ""


@pytest.fixture
async def site(
    request: pytest.FixtureRequest,
    control_plane: ControlPlane,
    client: KubeClient,
    namespace: str,
    master_key_dir: Path,
    tmp_path: Path,
) -> AsyncGenerator[Site]:
    """Its parameter is for how many seconds a /start is held, since no pod ever gets ready."""
    log, hold = tmp_path / "operator.log", getattr(request, "param", 3)
    async with Site.open(control_plane, client, namespace, master_key_dir, log, hold) as opened:
        yield opened


@pytest.mark.parametrize("site", [11], indirect=True)
async def test_of_300_starts_as_many_make_sandboxes_as_may(site: Site) -> None:
    """The operator is killed among them, and another one takes over, which takes a busy machine ten seconds.

    A start that is not decided on when its hold is over is answered with 200, and refused later.
    """
    await site.allow(sandboxes=50)
    starting = asyncio.gather(*(site.start(number) for number in range(300)))

    async def half() -> bool:
        return len(site.pods) >= 25

    await eventually(half)
    await site.operators.restart()
    answers = await starting
    assert {answer.status for answer in answers} == {200, 429}
    begun = {answer.body["runtime_id"] for answer in answers if answer.status == 200}

    async def decided() -> bool:
        reasons = await site.sandboxes()
        return {name for name in reasons if reasons[name] != Reason.LIMIT_REACHED} == set(site.pods.values())

    await eventually(decided)
    assert set(await site.sandboxes()) == begun
    assert (len(site.pods), site.most_pods) == (50, 50)
    for answer in answers:
        if answer.status == 429:
            assert f"Owner {OWNER} has reached its limit sandboxes=50" in answer.body["detail"]
            assert "kubectl ohsb keys set" in answer.body["detail"]


async def test_who_waits_is_told_its_place_and_starts_in_its_turn(site: Site) -> None:
    await site.allow(running=3)
    answers = await asyncio.gather(*(site.start(number) for number in range(6)))
    too_many = await asyncio.gather(*(site.start(number) for number in range(6, 10)))
    assert Counter(answer.status for answer in (*answers, *too_many)) == {200: 6, 429: 4}
    told = {answer.body["runtime_id"]: answer.body for answer in answers}
    running = set(site.pods.values())
    waiting = [body for name, body in told.items() if name not in running]
    assert (len(running), len(waiting), site.most_pods) == (3, 3, 3)
    messages = sorted(body["events"][0]["message"] for body in waiting)
    assert [message.partition(" in the queue. ")[0] for message in messages] == [
        "Place 1 of 3",
        "Place 2 of 3",
        "Place 3 of 3",
    ]
    assert all("limit running=3" in message for message in messages)
    assert {body["pod_status"] for body in waiting} == {"pending"}

    leaving, next_ = min(running), min(waiting, key=lambda body: body["events"][0]["message"])["runtime_id"]
    await site.gateways.call(0, "POST", "/pause", runtime_id=leaving)

    async def in_its_turn() -> bool:
        return set(site.pods.values()) == running - {leaving} | {next_}

    await eventually(in_its_turn)
    resumed = await site.gateways.call(1, "POST", "/resume", runtime_id=leaving)
    assert resumed is not None
    assert resumed.body["events"][0]["reason"] == "Queued"
    assert site.most_pods == 3


async def test_starts_beyond_those_of_a_minute_wait(site: Site) -> None:
    await site.allow(startsPerMinute=2)
    answers = await asyncio.gather(*(site.start(number) for number in range(4)))
    assert [answer.status for answer in answers] == [200] * 4
    assert len(site.pods) == 2
    held = [answer.body for answer in answers if answer.body["runtime_id"] not in site.pods.values()]
    assert all("limit startsPerMinute=2" in body["events"][0]["message"] for body in held)


async def test_a_limit_that_is_raised_holds_at_once(site: Site) -> None:
    await site.allow(running=1)
    await asyncio.gather(site.start(1), site.start(2))
    assert len(site.pods) == 1
    key = await site.world.client.get(SECRETS, site.world.namespace, "key")
    policy = {"stringData": {"policy": '{"limits": {"running": 2}}'}}
    await site.world.client.patch(SECRETS, site.world.namespace, key["metadata"]["name"], policy)

    async def both() -> bool:
        return len(site.pods) == 2

    await eventually(both)
