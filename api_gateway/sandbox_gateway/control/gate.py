"""The API key, checked before a request's body is read."""

from fastapi import Request
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from sandbox_gateway.api_keys import ApiKeys

API_KEY_HEADER = "X-API-Key"
_OPEN = frozenset({"/docs", "/openapi.json"})


class Gate:
    """ASGI middleware: answers 401, or puts the key's owner into the request's state."""

    def __init__(self, app: ASGIApp, api_keys: ApiKeys) -> None:
        self._app = app
        self._api_keys = api_keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and scope["path"] not in _OPEN:
            api_key = Headers(scope=scope).get(API_KEY_HEADER, "")
            owner = self._api_keys.owner_of(api_key) if api_key else None
            if owner is None:
                detail = "is not a known API key" if api_key else "is missing: send your API key in it"
                await JSONResponse({"detail": f"{API_KEY_HEADER} {detail}"}, 401)(scope, receive, send)
                return
            scope.setdefault("state", {})["owner"] = owner
        await self._app(scope, receive, send)


def owner_of(request: Request) -> str:
    """The owner that the gate has found."""
    return request.state.owner
