"""A candidate whose service account is deleted and made again while it stands by."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from datetime import UTC, datetime

import orjson
from aiohttp import web
from kubernetes.aio import client as kube_client

from sandbox_common.kube import KubeClient, KubeObject
from sandbox_common.kube.client import _session as connections  # pyright: ignore[reportPrivateUsage]
from sandbox_operator.leader import lease
from sandbox_operator.leader.election import Timing
from sandbox_operator.leader.elector import Elector
from sandbox_operator.leader.service_account import ServiceAccount

_NAME = "system:serviceaccount:team:operator"


class Server:
    """An API server with one Lease. `account` is the candidate's present one."""

    def __init__(self) -> None:
        self.account = ServiceAccount(_NAME, "uid-1")
        self.news: asyncio.Queue[KubeObject] = asyncio.Queue()
        self.watched = asyncio.Event()
        self.reviews = 0
        self.writes: list[KubeObject] = []
        self.lease: KubeObject = {}
        self.hold(1)

    def hold(self, version: int) -> None:
        """Another candidate holds the Lease, by the present account."""
        self.lease = lease.new("lease", "another", self.account, 600, datetime.now(UTC))
        self.lease["metadata"]["resourceVersion"] = str(version)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer a request."""
        if request.path.endswith("/selfsubjectreviews"):
            self.reviews += 1
            return web.json_response({"status": {"userInfo": {"username": self.account.name, "uid": self.account.uid}}})
        if request.query.get("watch"):
            stream = web.StreamResponse()
            await stream.prepare(request)
            self.watched.set()
            while True:
                event = {"type": "MODIFIED", "object": await self.news.get()}
                await stream.write(orjson.dumps(event) + b"\n")
        if request.method == "GET":
            items = {"metadata": self.lease["metadata"], "items": [self.lease]}
            return web.json_response(items if request.path.endswith("/leases") else self.lease)
        self.writes.append(await request.json())
        return web.json_response({"kind": "Status", "reason": "Conflict"}, status=409)


@contextlib.asynccontextmanager
async def candidate(server: Server) -> AsyncGenerator[None]:
    """Meanwhile a candidate stands by."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    api = kube_client.ApiClient(kube_client.Configuration(host=f"http://127.0.0.1:{runner.addresses[0][1]}"))
    client = KubeClient(api, connections(api))

    async def term(_: KubeClient) -> None:
        await asyncio.Event().wait()

    elector = Elector(client, "n", "lease", Timing(duration=600, renew=100, deadline=300))
    running = asyncio.create_task(elector.run(term))
    try:
        await asyncio.wait_for(server.watched.wait(), 30)
        yield
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        await client.close()
        await runner.cleanup()


async def test_who_leads_by_the_new_account_holds_the_lease_for_a_candidate_that_knew_the_old_one() -> None:
    server = Server()
    async with candidate(server):
        server.account = ServiceAccount(_NAME, "uid-2")
        server.hold(2)
        server.news.put_nowait(server.lease)
        await asyncio.sleep(0.5)
        assert not server.writes
        assert server.reviews == 2


async def test_a_candidate_that_is_no_object_is_asked_once_who_it_is() -> None:
    server = Server()
    server.account = ServiceAccount("admin")
    async with candidate(server):
        server.hold(2)
        server.lease["spec"]["holderIdentity"] = ""
        server.news.put_nowait(server.lease)
        await asyncio.sleep(0.5)
        assert server.writes
        assert server.reviews == 1
