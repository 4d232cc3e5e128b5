"""Initializing an agent server, which fails in each way that the test scripts."""

from collections.abc import Mapping
from typing import Any, cast

import pytest

from sandbox_common.kube import ApiError
from sandbox_crds.models import Sandbox
from sandbox_operator.agents.agent_server import Address, AgentServers, InitError
from sandbox_operator.pools import initializer
from sandbox_operator.pools.client_environments import ClientEnvironments, EnvironmentMissingError
from sandbox_operator.pools.deferred import Initialization
from sandbox_operator.pools.initializer import Initializer
from unit.sandbox_operator.samples import KEY_ID, NOW, class_, ready, sandbox

POD = ready(pool="p", deferred=True, claimed=NOW, key_id=KEY_ID)


class Far:
    """Agent servers and environments at once. `failures` are raised one after another."""

    def __init__(self) -> None:
        self.failures: list[Exception] = []
        self.asked: list[tuple[str, str, Mapping[str, Any]]] = []

    async def init(self, address: Address, key_id: str, body: Mapping[str, Any]) -> None:
        self.asked.append((address[0], key_id, body))

    async def of(self, _: Sandbox) -> dict[str, str]:
        if self.failures:
            raise self.failures.pop(0)
        return {"TOKEN": "t"}


@pytest.fixture
def far() -> Far:
    return Far()


@pytest.fixture
def made(far: Far, monkeypatch: pytest.MonkeyPatch) -> Initializer:
    monkeypatch.setattr(initializer, "_RETRY_SECONDS", 0.0)
    return Initializer(cast(AgentServers, far), cast(ClientEnvironments, far))


async def test_it_is_told_its_environment(far: Far, made: Initializer) -> None:
    assert await made.initialize(sandbox(), POD, class_()) == Initialization()
    assert far.asked == [("10.244.0.7", KEY_ID, {"env": {"TOKEN": "t"}})]


@pytest.mark.parametrize("error", [InitError("/api/init answers 401"), EnvironmentMissingError("no Secret")])
async def test_a_pod_of_no_use(far: Far, made: Initializer, error: Exception) -> None:
    far.failures = [error]
    assert await made.initialize(sandbox(), POD, class_()) == Initialization(str(error))


async def test_a_bug_does_not_leave_the_sandbox_waiting(far: Far, made: Initializer) -> None:
    far.failures = [RuntimeError("secret detail")]
    result = await made.initialize(sandbox(), POD, class_())
    assert result
    assert result.failure
    assert "secret detail" not in result.failure


async def test_an_api_server_out_of_reach_is_not_the_pods_fault(far: Far, made: Initializer) -> None:
    far.failures = [ApiError(500, "InternalError", "etcd"), TimeoutError()]
    results = [await made.initialize(sandbox(), POD, class_()) for _ in range(3)]
    assert results == [None, None, Initialization()]
