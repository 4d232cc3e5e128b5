"""A web application in a sandbox that streams both ways. It runs on the port in its first argument."""

import asyncio
import hashlib
import sys
from collections.abc import AsyncIterator

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

BLOCK = bytes(1 << 20)
PAUSE_EACH = 256 << 20
"""Bytes of an upload."""


async def up(request: Request) -> Response:
    """Takes a body, of which it keeps nothing."""
    size, digest = 0, hashlib.sha256()
    async for data in request.stream():
        digest.update(data)
        size += len(data)
        # It reads nothing for a while, and what the client sends meanwhile waits.
        if size // PAUSE_EACH > (size - len(data)) // PAUSE_EACH:
            await asyncio.sleep(1)
    return JSONResponse({"size": size, "sha256": digest.hexdigest()})


async def down(request: Request) -> Response:
    """Answers this many MiB, with a length."""
    count = int(request.query_params["mib"])

    async def blocks() -> AsyncIterator[bytes]:
        for _ in range(count):
            yield BLOCK

    return StreamingResponse(blocks(), headers={"Content-Length": str(count << 20)})


async def events(request: Request) -> Response:
    """An event each time that somebody asks for /event."""
    kind = request.query_params["type"]

    async def each() -> AsyncIterator[str]:
        for number in range(3):
            yield f"data: {number}\n\n"
            await happened.wait()
            happened.clear()

    return StreamingResponse(each(), media_type=kind)


async def event(_: Request) -> Response:
    happened.set()
    return Response()


async def silent(request: Request) -> Response:
    """Answers after these seconds."""
    await asyncio.sleep(float(request.query_params["seconds"]))
    return Response("late")


async def seen(request: Request) -> Response:
    """Says what it was sent."""
    return JSONResponse({"target": request.scope["raw_path"].decode(), "fields": request.headers.items()})


async def echo(websocket: WebSocket) -> None:
    """What the handshake brought, then each message back."""
    await websocket.accept()
    await websocket.send_json(dict(websocket.headers.items()))
    async for text in websocket.iter_text():
        await websocket.send_text(text)


happened = asyncio.Event()
uvicorn.run(
    Starlette(
        routes=[
            Route("/up", up, methods=["POST"]),
            Route("/down", down),
            Route("/events", events),
            Route("/event", event, methods=["POST"]),
            Route("/silent", silent),
            WebSocketRoute("/echo", echo),
            Route("/seen{rest:path}", seen),
        ]
    ),
    host="0.0.0.0",  # noqa: S104
    port=int(sys.argv[1]),
    log_level="warning",
)
