"""What a request must pass before its body is read: the API key, its rate, and bounds on the body."""

import asyncio
from math import ceil

from fastapi import HTTPException, Request
from starlette.datastructures import Headers
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sandbox_crds.api_keys import ApiKey
from sandbox_gateway.api_keys import ApiKeys
from sandbox_gateway.control.rates import Rates
from sandbox_gateway.proxy.answers import unknown_api_key

API_KEY_HEADER = "X-API-Key"
_OPEN = frozenset({"/docs", "/openapi.json"})
_MAXIMUM_BYTES = 4 * 1024 * 1024
"""An environment is at most 1 MiB; JSON escapes may multiply it."""
BODY_SECONDS = 60.0
"""For all of it; whoever sends a byte now and then would hold a connection for ever otherwise."""
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

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["path"] in _OPEN:
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
            await self._app(scope, _bounded(receive, int(headers.get("content-length", "0"))), send)

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


def _bounded(receive: Receive, announced: int) -> Receive:
    left = _MAXIMUM_BYTES
    deadline: float | None = asyncio.get_running_loop().time() + BODY_SECONDS

    async def bounded() -> Message:
        nonlocal left, deadline
        if announced > _MAXIMUM_BYTES:
            raise HTTPException(413, _TOO_LARGE)
        try:
            async with asyncio.timeout_at(deadline):
                message = await receive()
        except TimeoutError:
            raise HTTPException(408, "The body did not come in time.") from None
        if not message.get("more_body", False):
            deadline = None  # what may still come is the end of the connection
        left -= len(message.get("body", b""))
        if left < 0:
            raise HTTPException(413, _TOO_LARGE)
        return message

    return bounded
