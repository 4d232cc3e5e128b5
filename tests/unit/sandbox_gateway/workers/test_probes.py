"""One port for the probes of several workers."""

import asyncio
from pathlib import Path

import httpx
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox_common.image_size import PATH, decode, encode
from sandbox_gateway.process.servers import AppServer, probes_app, unix_socket
from sandbox_gateway.workers.probes import MergedProbes


async def test_one_worker_is_asked_for_the_size_of_an_image(tmp_path: Path) -> None:
    asked: list[str] = []

    async def answer(request: Request) -> Response:
        asked.append(request.query_params["image"])
        return Response(encode(5))

    sockets = {"gone": str(tmp_path / "gone"), "1": str(tmp_path / "1"), "2": str(tmp_path / "2")}
    servers = [
        AppServer(probes_app(lambda: True, Route(PATH, answer)), unix_socket(sockets[worker]), grace_seconds=0)
        for worker in ("1", "2")
    ]
    running = [asyncio.create_task(server.run()) for server in servers]
    transport = httpx.ASGITransport(MergedProbes(lambda: sockets).app)
    async with httpx.AsyncClient(transport=transport, base_url="http://replica.test") as http:
        found = await http.get(PATH, params={"image": "a:1"})
        assert (found.status_code, decode(found.content), asked) == (200, 5, ["a:1"])
        sockets.pop("1")
        sockets.pop("2")
        assert (await http.get(PATH, params={"image": "a:1"})).status_code == 503
    for server in servers:
        server.stop()
    await asyncio.gather(*running)
