"""What a request must pass before its body is read: the API key, and bounds on the body."""

import asyncio

from fastapi import HTTPException, Request
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sandbox_crds.api_keys import ApiKey
from sandbox_gateway.api_keys import ApiKeys

API_KEY_HEADER = "X-API-Key"
_OPEN = frozenset({"/docs", "/openapi.json"})
_MAXIMUM_BYTES = 4 * 1024 * 1024
"""An environment is at most 1 MiB; JSON escapes may multiply it."""
BODY_SECONDS = 60.0
"""For all of it; whoever sends a byte now and then would hold a connection for ever otherwise."""
_TOO_LARGE = f"The body is larger than {_MAXIMUM_BYTES} bytes"


class Gate:
    """ASGI middleware: answers 401, bounds the body, and puts the key into the request's state.

    FastAPI's own bound would answer with plain text.
    """

    def __init__(self, app: ASGIApp, api_keys: ApiKeys) -> None:
        self._app = app
        self._api_keys = api_keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["path"] in _OPEN:
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        api_key = headers.get(API_KEY_HEADER, "")
        key = self._api_keys.find(api_key) if api_key else None
        if key is None:
            detail = "is not a known API key" if api_key else "is missing: send your API key in it"
            await JSONResponse({"detail": f"{API_KEY_HEADER} {detail}"}, 401)(scope, receive, send)
        else:
            scope.setdefault("state", {})["api_key"] = key
            await self._app(scope, _bounded(receive, int(headers.get("content-length", "0"))), send)


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
