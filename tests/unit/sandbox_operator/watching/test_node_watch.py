"""Nodes are followed where that is allowed, and all is as without them where it is not."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from sandbox_common.kube import ApiError, KubeClient, KubeObject
from sandbox_operator.watching import node_watch
from sandbox_operator.watching.node_watch import Nodes
from unit.sandbox_operator.pools.samples import ready


class Server:
    """Two nodes, one of them cordoned, that may not be read at first. `news` are events of the watch."""

    def __init__(self, *refusals: ApiError) -> None:
        self.refusals = list(refusals)
        self.news: asyncio.Queue[bytes] = asyncio.Queue()

    async def list(self, *_: Any, **__: str) -> KubeObject:
        if self.refusals:
            raise self.refusals.pop(0)
        nodes = [
            {"metadata": {"name": name, "resourceVersion": "1"}, "spec": {"unschedulable": cordoned}}
            for name, cordoned in (("node-1", True), ("node-2", False))
        ]
        return {"metadata": {"resourceVersion": "5"}, "items": nodes}

    async def pages(self, *_: Any, **__: str) -> AsyncGenerator[KubeObject]:
        yield await self.list()

    @asynccontextmanager
    async def watch(self, *_: Any, **__: str) -> AsyncGenerator["Server"]:
        yield self

    async def readline(self) -> bytes:
        return await self.news.get()


@asynccontextmanager
async def following(server: Server, changes: asyncio.Queue[str]) -> AsyncGenerator[Nodes]:
    nodes = Nodes(cast(KubeClient, server), changes.put_nowait)
    task = asyncio.create_task(nodes.run())
    async with asyncio.timeout(10):
        assert {await changes.get(), await changes.get()} == {"node-1", "node-2"}
        yield nodes
    task.cancel()


async def test_what_is_known_of_nodes() -> None:
    async with following(Server(), asyncio.Queue()) as nodes:
        assert nodes.unfit(ready("a")) == "is cordoned"
        assert not nodes.unfit(ready("a", node="node-2"))
        assert not nodes.unfit(ready("a", node="unknown"))


async def test_a_missing_right_is_reported_once_and_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_watch, "_NO_RIGHT_SECONDS", 0.0)
    monkeypatch.setattr(node_watch, "_RETRY_SECONDS", 0.0)
    forbidden = ApiError(403, "Forbidden", "no")
    with capture_logs() as logs:
        async with following(Server(forbidden, forbidden, ApiError(503, "", ""), forbidden), asyncio.Queue()) as nodes:
            assert nodes.unfit(ready("a"))
    assert [entry["event"] for entry in logs if entry["log_level"] == "warning"] == ["nodes may not be read"]


async def test_only_what_matters_is_a_change() -> None:
    server, changes = Server(), asyncio.Queue[str]()
    async with following(server, changes) as nodes:
        for name, version in (("node-2", 6), ("node-1", 7)):
            server.news.put_nowait(
                b'{"type": "MODIFIED", "object": {"metadata": {"name": "%b", "resourceVersion": "%d"}}}'
                % (name.encode(), version)
            )
        # The other is as it was.
        assert await changes.get() == "node-1"
        assert not nodes.unfit(ready("a"))
