"""When Events are read, and for whom."""

import asyncio
from collections import Counter
from typing import Any, cast

import pytest

from sandbox_common.kube import KubeClient
from sandbox_crds.models import Sandbox
from sandbox_crds.names import pod_name
from sandbox_gateway.sandboxes import events
from sandbox_gateway.sandboxes.events import ClusterEvents
from unit.sandbox_gateway.support import sandbox


class Server:
    """Lists no Events, as soon as `go_on` is set."""

    def __init__(self) -> None:
        self.lists: Counter[str] = Counter()
        self.under_way = 0
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.broken = False
        self.events = ClusterEvents(cast(KubeClient, self), "ns")

    async def list(self, _: object, __: str, *, fieldSelector: str, limit: str) -> dict[str, Any]:
        assert int(limit)
        self.lists[fieldSelector.removeprefix("regarding.name=")] += 1
        self.under_way += 1
        try:
            await self.go_on.wait()
        finally:
            self.under_way -= 1
        if self.broken:
            raise OSError("broken")
        return {"items": []}


def of(owner: str, number: int) -> Sandbox:
    return sandbox(name=f"{owner}-{number}", uid=f"{owner}-{number}", spec={"owner": owner})


async def test_who_asks_again_within_a_second_gets_what_was_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "FRESH_SECONDS", 60)
    server = Server()
    await asyncio.gather(*(server.events.about(of("alice", 1)) for _ in range(50)))
    await server.events.about(of("alice", 1))
    assert server.lists["alice-1"] == 1
    assert server.lists.total() == 2
    await server.events.about(of("alice", 2))
    assert server.lists.total() == 4


async def test_events_are_about_all_that_the_sandbox_has() -> None:
    server = Server()
    warm = {"podName": "pool-a", "volumeClaim": "pool-b"}
    await server.events.about(sandbox(name="one", uid="uid", status=warm))
    assert server.lists.keys() == {"one", pod_name("one", "uid"), "pool-a", "pool-b"}


async def test_what_was_read_is_not_kept_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "FRESH_SECONDS", 0)
    server = Server()
    for times in range(1, 4):
        await server.events.about(of("alice", 1))
        await asyncio.sleep(0.01)
        assert server.lists["alice-1"] == times


async def test_a_failure_is_nobody_elses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "FRESH_SECONDS", 60)
    server = Server()
    server.broken = True
    with pytest.raises(OSError, match="broken"):
        await server.events.about(of("alice", 1))
    server.broken = False
    assert await server.events.about(of("alice", 1)) == []


async def test_an_owner_reads_one_at_a_time_and_keeps_nobody_waiting() -> None:
    server = Server()
    server.go_on.clear()
    greedy = [asyncio.create_task(server.events.about(of("greedy", number))) for number in range(100)]
    await asyncio.sleep(0.01)
    assert server.under_way == 2, "two lists of one sandbox"
    modest = asyncio.create_task(server.events.about(of("modest", 1)))
    await asyncio.sleep(0.01)
    assert server.under_way == 4
    server.go_on.set()
    assert await modest == []
    assert await asyncio.gather(*greedy) == [[]] * 100


async def test_who_waits_too_long_for_its_turn_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "_SECONDS", 0.05)
    server = Server()
    server.go_on.clear()
    greedy = [asyncio.create_task(server.events.about(of("greedy", number))) for number in range(5)]
    failures = await asyncio.gather(*greedy, return_exceptions=True)
    assert [type(failure) for failure in failures] == [TimeoutError] * 5
    assert server.under_way == 0
