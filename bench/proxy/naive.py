"""A gateway as it is written naively, with FastAPI, httpx and websockets.

`python -m bench.proxy.naive PORT …`, with the ports of `ours.BACKENDS`
"""

import asyncio
import sys
from collections.abc import Mapping

import httpx
import uvicorn
from fastapi import FastAPI, Request, WebSocket, WebSocketDisconnect
from fastapi.responses import StreamingResponse
from starlette.background import BackgroundTask
from websockets.asyncio.client import connect

from bench.proxy.ours import BACKENDS

_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "upgrade", "host"}


def gateway(ports: Mapping[str, int]) -> FastAPI:
    """It proxies to these backends' ports of loopback: the first part of the path names the backend."""
    app = FastAPI(openapi_url=None)
    client = httpx.AsyncClient(
        timeout=None,  # noqa: S113 (as a gateway for long requests has it)
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=256),
        trust_env=False,
    )

    @app.api_route("/{path:path}", methods=["GET", "POST", "PUT"])
    async def proxy(path: str, request: Request) -> StreamingResponse:
        url = f"http://127.0.0.1:{ports.get(path, ports['http'])}/{path}"
        headers = [(name, value) for name, value in request.headers.items() if name not in _HOP_BY_HOP]
        body = request.stream() if request.method != "GET" else None
        forwarded = client.build_request(request.method, url, headers=headers, content=body)
        answer = await client.send(forwarded, stream=True)
        kept = {name: value for name, value in answer.headers.items() if name not in _HOP_BY_HOP}
        return StreamingResponse(answer.aiter_raw(), answer.status_code, kept, background=BackgroundTask(answer.aclose))

    @app.websocket("/{path:path}")
    async def websocket(path: str, incoming: WebSocket) -> None:
        url = f"ws://127.0.0.1:{ports['websocket']}/{path}"
        async with connect(url, proxy=None, max_size=None, compression=None) as upstream:
            await incoming.accept()

            async def up() -> None:
                while True:
                    await upstream.send(await incoming.receive_bytes())

            async def down() -> None:
                async for message in upstream:
                    await incoming.send_bytes(message if isinstance(message, bytes) else message.encode())

            ways = [asyncio.create_task(up()), asyncio.create_task(down())]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            except WebSocketDisconnect:
                pass
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)

    _ = (proxy, websocket)
    return app


if __name__ == "__main__":
    port, *behind = map(int, sys.argv[1:])
    ports = dict(zip(BACKENDS, behind, strict=True))
    uvicorn.run(
        gateway(ports),
        host="127.0.0.1",
        port=port,
        log_level="error",
        access_log=False,
        ws="websockets-sansio",
        ws_max_size=64 * 1024 * 1024,
        ws_per_message_deflate=False,
        timeout_keep_alive=600,
        backlog=4096,
    )
