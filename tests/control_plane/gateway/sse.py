"""A client of server-sent events."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from control_plane.waiting import PATIENCE

type Event = tuple[str, dict[str, Any]]


class Events:
    """One stream; `seen` are the events so far."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.seen: list[Event] = []
        self._events = _parsed(response.aiter_lines())

    async def next(self) -> Event:
        """The next event, awaited."""
        self.seen.append(await asyncio.wait_for(anext(self._events), PATIENCE))
        return self.seen[-1]

    async def until(self, kind: str, **data: Any) -> dict[str, Any]:
        """The data of the next event of this kind that has these fields."""
        while True:
            found, fields = await self.next()
            if found == kind and data.items() <= fields.items():
                return fields

    async def end(self) -> None:
        """Return when the stream has ended regularly."""
        async with asyncio.timeout(PATIENCE):
            async for _ in self._events:
                pass


async def _parsed(lines: AsyncIterator[str]) -> AsyncGenerator[Event]:
    kind = ""
    async for line in lines:
        field, _, value = line.partition(": ")
        if field == "event":
            kind = value
        elif field == "data":
            yield kind, json.loads(value)


@asynccontextmanager
async def events(url: str, api_key: str, **query: str) -> AsyncGenerator[Events]:
    """An open stream of the gateway at this URL. Its refusal is an answer, too."""
    async with (
        httpx.AsyncClient(timeout=PATIENCE, trust_env=False) as http,
        http.stream("GET", f"{url}/events", params=query, headers={"X-API-Key": api_key}) as response,
    ):
        yield Events(response)
