"""What a request must pass before its body is read: the API key, its rate, and bounds on the body."""

import asyncio
from collections import Counter
from math import ceil

from fastapi import HTTPException, Request
from starlette.datastructures import Headers
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sandbox_crds import collector
from sandbox_crds.api_keys import ApiKey
from sandbox_gateway.api_keys import ApiKeys
from sandbox_gateway.control.rates import Rates
from sandbox_gateway.proxy.answers import unknown_api_key
from sandbox_gateway.proxy.routing import OPEN_PATHS
from sandbox_gateway.retry import RETRY, Passing

API_KEY_HEADER = "X-API-Key"
_MAXIMUM_BYTES = 4 * 1024 * 1024
"""An environment is at most 1 MiB; JSON escapes may multiply it."""
ALL_BYTES = 64 * 1024 * 1024
"""Of bodies in memory at a time, so that nobody's take all of the process's memory. The SDK's have a few hundred."""
KEY_BYTES = ALL_BYTES // 4
"""Of those with one key, so that nobody takes the room of all."""
BODY_SECONDS = 60.0
"""For all of it; whoever sends a byte now and then would hold a connection for ever otherwise."""
_BUSY = "This gateway is reading as many large bodies as it can. Send the request again later."
_TOO_LARGE = f"The body is larger than {_MAXIMUM_BYTES} bytes"


class Gate:
    """ASGI middleware: answers 401 and 429, bounds the body, and puts the key into the request's state.

    `requests_per_minute` is for keys without a limit of their own; 0: none. FastAPI's own bound of the body would
    answer with plain text.
    """

    def __init__(self, app: ASGIApp, api_keys: ApiKeys, requests_per_minute: int) -> None:
        self._app = app
        self._api_keys = api_keys
        self._requests_per_minute = requests_per_minute
        self._rates = Rates()
        self._bytes: Counter[str] = Counter()
        """Of the bodies of all requests under way, by key."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["path"] in OPEN_PATHS:
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        api_key = headers.get(API_KEY_HEADER, "")
        key = self._api_keys.find(api_key) if api_key else None
        if key is None:
            answer = unknown_api_key(api_key)  # the data plane refuses most of them before
            await Response(answer.body, answer.status, media_type="application/json")(scope, receive, send)
        elif refusal := self._over_rate(key):
            await refusal(scope, receive, send)
        else:
            scope.setdefault("state", {})["api_key"] = key
            body = _Body(self, key.name, receive, int(headers.get("content-length", "0")))
            try:
                await self._app(scope, body.receive, send)
            finally:
                self._bytes[key.name] -= body.size
                if not self._bytes[key.name]:
                    del self._bytes[key.name]
                collector.passed(body.size)

    def admits(self, key: str, size: int) -> bool:
        """Whether there is room for so many more bytes of a body sent with this key, which are counted then."""
        if self._bytes[key] + size > KEY_BYTES or self._bytes.total() + size > ALL_BYTES:
            return False
        self._bytes[key] += size
        return True

    def _over_rate(self, key: ApiKey) -> JSONResponse | None:
        own = key.policy.limits.requests_per_minute
        limit = own or self._requests_per_minute
        wait = ceil(self._rates.take(key.name, limit, asyncio.get_running_loop().time())) if limit else 0
        if not wait:
            return None
        whose = "limits.requestsPerMinute of this API key" if own else "gateway.requestsPerMinute of the chart"
        detail = f"Rate limit exceeded: {limit}/minute. Call again in {wait} s; operators may raise {whose}."
        return JSONResponse({"detail": detail}, 429, {"Retry-After": str(wait)})


async def key_of(request: Request) -> ApiKey:
    """The key that the gate has found."""
    return request.state.api_key


async def owner_of(request: Request) -> str:
    """The owner of that key."""
    return (await key_of(request)).owner


class _Body:
    """What comes of one request's body, within the bounds of size and time; `size` is what has been admitted of it."""

    def __init__(self, gate: Gate, key: str, receive: Receive, announced: int) -> None:
        self.size = 0
        self._gate = gate
        self._key = key
        self._receive = receive
        self._announced = announced
        self._deadline: float | None = asyncio.get_running_loop().time() + BODY_SECONDS

    async def receive(self) -> Message:
        """The next message. Raises HTTPException: 408, 413 or 503."""
        if self._announced > _MAXIMUM_BYTES:
            raise HTTPException(413, _TOO_LARGE)
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            raise HTTPException(408, "The body did not come in time.") from None
        if not message.get("more_body", False):
            self._deadline = None  # what may still come is the end of the connection
        size = len(message.get("body", b""))
        if self.size + size > _MAXIMUM_BYTES:
            raise HTTPException(413, _TOO_LARGE)
        if not self._gate.admits(self._key, size):
            status, seconds = RETRY[Passing.TOO_MANY_BODIES]
            raise HTTPException(status, _BUSY, {"Retry-After": str(seconds)})
        self.size += size
        return message
