"""Initializing beside the workers, with an agent server that is told how to fail."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import pytest

from sandbox_common.kube import ApiError
from sandbox_crds.models import Sandbox
from sandbox_operator.agents.agent_server import Address, AgentServers, InitError
from sandbox_operator.pools import initializations
from sandbox_operator.pools.environments import EnvironmentMissingError, Environments
from sandbox_operator.pools.initializations import Initialization, Initializations
from sandbox_operator.watching.pods import Pod
from unit.sandbox_operator.samples import KEY_ID, NOW, class_, container, ready, sandbox

type Results = list[Initialization | None]


class Far:
    """Agent servers and environments at once. `failures` are raised one after another."""

    def __init__(self) -> None:
        self.failures: list[Exception] = []
        self.asked: list[tuple[str, str, Mapping[str, Any]]] = []
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def init(self, address: Address, key_id: str, body: Mapping[str, Any]) -> None:
        self.asked.append((address[0], key_id, body))
        await self.go_on.wait()

    async def of(self, _: Sandbox) -> dict[str, str]:
        if self.failures:
            raise self.failures.pop(0)
        return {"TOKEN": "t"}


@pytest.fixture
def far() -> Far:
    return Far()


@pytest.fixture
def over() -> Results:
    return []


@pytest.fixture
def made(far: Far, monkeypatch: pytest.MonkeyPatch) -> Initializations:
    monkeypatch.setattr(initializations, "_RETRY_SECONDS", 0.0)
    return Initializations(cast(AgentServers, far), cast(Environments, far))


def pod(restarts: int = 0) -> Pod:
    run = container(ready=True, restarts=restarts, waiting_reason="", running_since=NOW)
    return replace(ready(pool="p", deferred=True, claimed=NOW, key_id=KEY_ID), container=run)


async def until(over: Results, count: int) -> None:
    async with asyncio.timeout(5):
        while len(over) < count:  # noqa: ASYNC110
            await asyncio.sleep(0)


async def test_it_is_told_its_environment_once(far: Far, over: Results, made: Initializations) -> None:
    far.go_on.clear()
    assert made.begin(sandbox(), pod(), class_(), over.append)
    assert made.begin(sandbox(), pod(), class_(), over.append)
    await asyncio.sleep(0)
    assert over == []
    far.go_on.set()
    await until(over, 1)
    assert far.asked == [("10.244.0.7", KEY_ID, {"env": {"TOKEN": "t"}})]
    assert over == [Initialization()]


async def test_a_restarted_one_is_told_again(far: Far, over: Results, made: Initializations) -> None:
    far.go_on.clear()
    made.begin(sandbox(), pod(), class_(), over.append)
    made.begin(sandbox(), pod(restarts=1), class_(), over.append)
    far.go_on.set()
    await until(over, 2)
    assert over == [Initialization(), Initialization()]
    assert len(far.asked) == 2


@pytest.mark.parametrize("error", [InitError("/api/init answers 401"), EnvironmentMissingError("no Secret")])
async def test_a_pod_of_no_use(far: Far, over: Results, made: Initializations, error: Exception) -> None:
    far.failures = [error]
    made.begin(sandbox(), pod(), class_(), over.append)
    await until(over, 1)
    assert over == [Initialization(str(error))]


async def test_a_bug_does_not_leave_the_sandbox_waiting(far: Far, over: Results, made: Initializations) -> None:
    far.failures = [RuntimeError("secret detail")]
    made.begin(sandbox(), pod(), class_(), over.append)
    await until(over, 1)
    [result] = over
    assert result
    assert result.failure
    assert "secret detail" not in result.failure


async def test_an_api_server_out_of_reach_is_not_the_pods_fault(far: Far, over: Results, made: Initializations) -> None:
    far.failures = [ApiError(500, "InternalError", "etcd"), TimeoutError()]
    for count in (1, 2):
        made.begin(sandbox(), pod(), class_(), over.append)
        await until(over, count)
        assert over[-1] is None
    made.begin(sandbox(), pod(), class_(), over.append)
    await until(over, 3)
    assert over[-1] == Initialization()


async def test_only_so_many_at_once(
    far: Far, over: Results, made: Initializations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(initializations, "AT_ONCE", 1)
    far.go_on.clear()
    assert made.begin(sandbox(), pod(), class_(), over.append)
    assert not made.begin(sandbox(), pod(restarts=1), class_(), over.append)
    far.go_on.set()
    await until(over, 1)
    assert made.begin(sandbox(), pod(restarts=1), class_(), over.append)
    await until(over, 2)
