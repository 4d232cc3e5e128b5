"""The Lease is taken and renewed while all other connections are in use."""

import asyncio
import contextlib

from aiohttp import web
from kubernetes.aio import client as kube_client

from sandbox_common.kube import KubeClient
from sandbox_common.kube.client import _session as connections  # pyright: ignore[reportPrivateUsage]
from sandbox_common.kube.resources import PODS
from sandbox_operator.leader.election import Timing
from sandbox_operator.leader.elector import Elector


async def test_a_flood_of_other_requests_delays_no_renewal() -> None:
    renewals: list[int] = []
    renewed = asyncio.Event()

    async def handle(request: web.Request) -> web.StreamResponse:
        if request.path.endswith("/selfsubjectreviews"):
            return web.json_response({"status": {"userInfo": {"username": "somebody"}}})
        if not request.path.startswith("/apis/coordination.k8s.io/") or request.query.get("watch"):
            await asyncio.Event().wait()
        if request.method == "GET":
            if request.path.endswith("/leases"):
                return web.json_response({"metadata": {"resourceVersion": "1"}, "items": []})
            return web.json_response({"kind": "Status"}, status=404)
        body = await request.json()
        renewals.append(len(renewals))
        if len(renewals) == 3:
            renewed.set()
        metadata = {"name": "lease", "resourceVersion": str(10 + len(renewals))}
        return web.json_response({"metadata": metadata, "spec": body["spec"]})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    configuration = kube_client.Configuration(host=f"http://127.0.0.1:{runner.addresses[0][1]}")
    configuration.connection_pool_maxsize = 2
    api = kube_client.ApiClient(configuration)
    for_lease, writer = KubeClient(api, connections(api)), KubeClient(api, connections(api))
    elector = Elector(for_lease, "n", "lease", Timing(duration=4, renew=0.1, deadline=2), writer=writer)

    async def term(client: KubeClient) -> None:
        await asyncio.gather(*(client.get(PODS, "n", f"pod-{number}") for number in range(50)))

    running = asyncio.create_task(elector.run(term))
    try:
        await asyncio.wait_for(renewed.wait(), 30)
        assert elector.leads
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        await writer.close()
        await for_lease.close()
        await runner.cleanup()
