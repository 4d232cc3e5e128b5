"""Clients that use one sandbox without a pause, and take note of everything that goes wrong."""

import asyncio
import json
import time
from collections import Counter
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException


@dataclass
class Seen:
    """What the clients have met with. Times in seconds."""

    answers: Counter[str] = field(default_factory=Counter[str])
    """Requests by status, or by the exception that they ended with."""
    seconds: float = 0.0
    """For which requests were sent."""
    slowest: float = 0.0
    closed: Counter[int | None] = field(default_factory=Counter[int | None])
    """WebSockets by the code that they were closed with."""
    refused: list[str] = field(default_factory=list[str])
    """Attempts to connect again that failed."""
    away: list[float] = field(default_factory=list[float])
    """How long each WebSocket took to be back."""


class Clients:
    """`rate` requests a second in all, and WebSockets on which the key is the first message, as the SDK sends it."""

    def __init__(self, url: str, key: str, *, rate: int, conversations: list[str], sockets_each: int) -> None:
        self.seen = Seen()
        self._url = url
        self._websocket_url = f"ws://{urlsplit(url).netloc}/sockets/events/"
        self._key = key
        self._rate = rate
        self._conversations = [one for one in conversations for _ in range(sockets_each)]
        self._open = 0
        self._stop = asyncio.Event()

    async def until_open(self) -> None:
        """Return once every WebSocket is open."""
        async with asyncio.timeout(120):
            while self._open < len(self._conversations):  # noqa: ASYNC110 (hundreds of tasks count it up)
                await asyncio.sleep(0.05)

    def stop(self) -> None:
        self._stop.set()

    async def run(self) -> Seen:
        """Until `stop`."""
        async with asyncio.TaskGroup() as tasks:
            sockets = [tasks.create_task(self._stay(conversation)) for conversation in self._conversations]
            await self.until_open()
            await tasks.create_task(self._request())
            # Those that were closed last may still be on their way back.
            await self.until_open()
            for task in sockets:
                task.cancel()
        return self.seen

    async def _request(self) -> None:
        headers = {"X-Session-API-Key": self._key}
        limits = httpx.Limits(max_connections=200, max_keepalive_connections=200)
        async with (
            httpx.AsyncClient(base_url=self._url, headers=headers, timeout=60, limits=limits, trust_env=False) as http,
            asyncio.TaskGroup() as tasks,
        ):
            due = began = time.monotonic()
            while not self._stop.is_set():
                due += 1 / self._rate
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                tasks.create_task(self._ask(http))
            self.seen.seconds = time.monotonic() - began

    async def _ask(self, http: httpx.AsyncClient) -> None:
        began = time.monotonic()
        try:
            answer = await http.get("/server_info")
            self.seen.answers[str(answer.status_code)] += 1
        except httpx.HTTPError as error:
            self.seen.answers[repr(error)] += 1
        self.seen.slowest = max(self.seen.slowest, time.monotonic() - began)

    async def _stay(self, conversation: str) -> None:
        websocket = await self._connect(conversation)
        self._open += 1
        while True:
            try:
                async for _ in websocket:
                    pass
            except ConnectionClosed:
                pass
            left = time.monotonic()
            self.seen.closed[websocket.close_code] += 1
            self._open -= 1
            while True:
                try:
                    websocket = await self._connect(conversation)
                    break
                except (OSError, WebSocketException) as error:
                    self.seen.refused.append(repr(error))
                    await asyncio.sleep(0.1)
            self.seen.away.append(time.monotonic() - left)
            self._open += 1

    async def _connect(self, conversation: str) -> ClientConnection:
        """Open, as its first event proves."""
        websocket = await connect(self._websocket_url + conversation, proxy=None, open_timeout=60, ping_interval=None)
        await websocket.send(json.dumps({"type": "auth", "session_api_key": self._key}))
        await websocket.recv()
        return websocket
