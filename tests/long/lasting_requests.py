"""What clients do for longer than the 60 s that Traefik's entry points give a request by default."""

import asyncio
import time
from collections.abc import Callable, Iterator

import httpx
from websockets.exceptions import ConnectionClosed

from long.street import Street

MIB = 1 << 20
LONG = 70
"""Seconds."""


def cut[**P](attempt: Callable[P, object], *arguments: P.args, **named: P.kwargs) -> str:
    """Why this attempt failed; empty if it did not."""
    try:
        attempt(*arguments, **named)
    except (httpx.HTTPError, ConnectionClosed) as error:
        return repr(error)
    return ""


def long_upload(street: Street, entrance: str, *, http2: bool) -> None:
    """It never stands still for more than a second."""

    def drops() -> Iterator[bytes]:
        for _ in range(LONG):
            yield b"drop"
            time.sleep(1)

    with street.client(street.work, entrance, http2=http2) as http:
        http.post("/up", content=drops()).raise_for_status()


def silent_request(street: Street, entrance: str, *, http2: bool) -> None:
    with street.client(street.work, entrance, http2=http2) as http:
        assert http.get("/silent", params={"seconds": LONG}).raise_for_status().text == "late"


def silent_command(street: Street, entrance: str, *, http2: bool) -> None:
    body = {"command": f"sleep {LONG}", "cwd": "/workspace", "timeout": 2 * LONG}
    key = street.runtime.identity[2]
    with street.client(street.box, entrance, http2=http2) as http:
        answer = http.post("/api/bash/execute_bash_command", json=body, headers={"X-Session-API-Key": key})
        assert answer.raise_for_status().json()["exit_code"] == 0


def slow_download(street: Street, entrance: str, *, http2: bool) -> None:
    mib = 4 * LONG
    with (
        street.client(street.work, entrance, http2=http2) as http,
        http.stream("GET", "/down", params={"mib": mib}) as response,
    ):
        began, received = time.monotonic(), 0
        for data in response.iter_raw():
            received += len(data)
            time.sleep(max(0.0, began + received / (4 * MIB) - time.monotonic()))
    assert received == mib * MIB


def silent_websocket(street: Street, entrance: str) -> None:
    async def use() -> None:
        async with street.websocket(street.work, "/echo", entrance) as websocket:
            await websocket.recv()
            await asyncio.sleep(LONG)
            await websocket.send("still there")
            assert await websocket.recv() == "still there"

    asyncio.run(use())
