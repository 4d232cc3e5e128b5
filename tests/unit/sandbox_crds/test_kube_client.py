"""The client against a server that takes its time."""

import asyncio

import aiohttp
from aiohttp import web
from kubernetes.aio import client as kube_client

from sandbox_crds.kube import KubeClient
from sandbox_crds.kube.resources import PODS


async def test_a_request_may_wait_long_for_a_connection() -> None:
    slow = iter([6.0, 0.0])

    async def pod(_: web.Request) -> web.Response:
        await asyncio.sleep(next(slow))
        return web.json_response({"kind": "Pod"})

    app = web.Application()
    app.router.add_get("/{path:.*}", pod)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    configuration = kube_client.Configuration(host=f"http://127.0.0.1:{runner.addresses[0][1]}")
    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1))
    client = KubeClient(kube_client.ApiClient(configuration), session)
    try:
        found = await asyncio.gather(*(client.get(PODS, "n", name) for name in ("first", "second")))
        assert found == [{"kind": "Pod"}] * 2
    finally:
        await client.close()
        await runner.cleanup()
