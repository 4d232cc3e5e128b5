"""Checks a request before its body is read: API key, rate, its owner's share of the process, and size."""

import asyncio
from math import ceil
from typing import Annotated

from fastapi import HTTPException, Query, Request
from pydantic.json_schema import SkipJsonSchema
from starlette.datastructures import Headers
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sandbox_common import collector
from sandbox_common.api_keys import ApiKey
from sandbox_gateway.contract.errors import NotAllowedError
from sandbox_gateway.contract.retry import RETRY, Passing
from sandbox_gateway.proxy.answers import unknown_api_key
from sandbox_gateway.proxy.fair import Fair
from sandbox_gateway.proxy.routing import OPEN_PATHS
from sandbox_gateway.proxy.steps import Steps
from sandbox_gateway.proxy.turns import Turns
from sandbox_gateway.runtime_api.rates import Rates
from sandbox_gateway.sandboxes.api import Reach
from sandbox_gateway.sandboxes.api_keys import ApiKeys

API_KEY_HEADER = "X-API-Key"
_MAXIMUM_BYTES = 4 * 1024 * 1024
"""The largest body. An environment is at most 1 MiB; JSON escapes may multiply it."""
ALL_BYTES = 64 * 1024 * 1024
"""Bytes of bodies in memory at a time, so that no client takes all memory. The SDK's bodies have a few hundred."""
OWNER_BYTES = ALL_BYTES // 4
"""Bytes of one owner's bodies, so that no owner takes the room of all."""
OWNER_BYTES_PER_MINUTE = 16 * 1024 * 1024
"""Bytes of one owner's bodies in a minute. They are stored, several times while a sandbox starts and ends, and etcd
keeps old versions for some minutes. All owners share its space."""
CALLS = 2048
"""Calls in progress at a time. Owners share them; most are held while a sandbox starts."""
STEPS = 1
"""Steps that the calls of one owner together make in one round of the event loop."""
BODY_SECONDS = 60.0
"""For a whole body. Otherwise a client that sends a byte now and then would keep a connection without end."""
_BUSY = "This gateway is reading as many large bodies as it can. Send the request again later."
_TOO_LARGE = f"The body is larger than {_MAXIMUM_BYTES} bytes"
_TOO_MUCH = (
    "This owner's calls have sent {:.0f} MiB of bodies in this minute, the most that is allowed. Call again in {} s."
)
_TOO_MANY = (
    "The calls of this owner that are under way take all the room that there is beside other owners'. Call again when "
    "some have ended."
)


OwnerFilter = Annotated[
    str | SkipJsonSchema[None],
    Query(
        min_length=1,
        max_length=253,
        description="Only the sandboxes of this owner. Others than its own need an API key with the permission "
        "`admin`, which sees those of all owners by default.",
        examples=["team-a"],
    ),
]


class Gate:
    """ASGI middleware: answers 401 and 429, bounds the body, and puts the key into the request's state.

    `is_key_valid` there says whether it is still valid and allows the same.

    `requests_per_minute` is for keys without their own limit; 0: none. FastAPI's own limit of bodies would answer with
    plain text.
    """

    def __init__(self, app: ASGIApp, api_keys: ApiKeys, requests_per_minute: int) -> None:
        self._app = app
        self._api_keys = api_keys
        self._requests_per_minute = requests_per_minute
        self._rates = Rates()
        self._calls = Fair(CALLS)
        self._turns = Turns(STEPS, lambda go: asyncio.get_running_loop().call_soon(go))
        self._bytes = Fair(ALL_BYTES)
        """Bytes of the bodies of all requests in progress."""
        self._sent = Rates()
        """The same, by owner."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["path"] in OPEN_PATHS:
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        api_key = headers.get(API_KEY_HEADER, "")
        key = self._api_keys.find(api_key) if api_key else None
        state = scope.setdefault("state", {})
        state["api_key"] = key
        state["is_key_valid"] = lambda: self._api_keys.find(api_key) == key
        if key is None:
            answer = unknown_api_key(api_key)  # the data plane has already refused most of them
            await Response(answer.body, answer.status, media_type="application/json")(scope, receive, send)
        elif refusal := self._over_rate(key):
            await refusal(scope, receive, send)
        elif not self._calls.left(key.owner):
            status, seconds = RETRY[Passing.TOO_MANY_OF_OWNER]
            await JSONResponse({"detail": _TOO_MANY}, status, {"Retry-After": str(seconds)})(scope, receive, send)
        else:
            body = _Body(self, key.owner, receive, int(headers.get("content-length", "0")))
            self._calls.take(key.owner)
            try:
                await Steps(self._app(scope, body.receive, send), key.owner, self._turns)
            finally:
                self._calls.give_back(key.owner)
                self._bytes.give_back(key.owner, body.size)
                collector.passed(body.size)

    def admits(self, owner: str, size: int) -> bool:
        """Whether there is room for this many more bytes of this owner's bodies. If so, they are counted."""
        if size and (self._bytes.of(owner) + size > OWNER_BYTES or not self._bytes.left(owner, size)):
            return False
        self._bytes.take(owner, size)
        return True

    def wait(self, owner: str, size: int) -> int:
        """Count this many more bytes. Returns 0, or the seconds until this owner may send them."""
        return ceil(self._sent.take(owner, OWNER_BYTES_PER_MINUTE, asyncio.get_running_loop().time(), size))

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
    """The API key of the request."""
    return request.state.api_key


async def owner_of(request: Request) -> str:
    """The owner of that key."""
    return (await key_of(request)).owner


async def reach_of(request: Request) -> Reach:
    """Whose sandboxes a call reaches that the permission `admin` widens."""
    key = await key_of(request)
    return None if key.policy.admin else key.owner


async def chosen_reach(request: Request, owner: OwnerFilter = None) -> Reach:
    """The same, narrowed to the owner that the query names. Raises NotAllowedError."""
    reach = await reach_of(request)
    if owner is None or owner == reach:
        return reach
    if reach is None:
        return owner
    raise NotAllowedError(
        "owner: only an API key with the permission admin sees the sandboxes of other owners. An administrator gives "
        "it with `kubectl ohsb keys set --admin`."
    )


class _Body:
    """Receives one request's body, within the limits of size and time. `size` is the number of admitted bytes."""

    def __init__(self, gate: Gate, owner: str, receive: Receive, announced: int) -> None:
        self.size = 0
        self._gate = gate
        self._owner = owner
        self._receive = receive
        self._announced = announced
        self._deadline: float | None = asyncio.get_running_loop().time() + BODY_SECONDS

    async def receive(self) -> Message:
        """The next message. Raises HTTPException: 408, 413, 429 or 503."""
        if self._announced > _MAXIMUM_BYTES:
            raise HTTPException(413, _TOO_LARGE)
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            raise HTTPException(408, "The body did not come in time.") from None
        if not message.get("more_body", False):
            self._deadline = None  # only the end of the connection may still come
        size = len(message.get("body", b""))
        if self.size + size > _MAXIMUM_BYTES:
            raise HTTPException(413, _TOO_LARGE)
        if seconds := self._gate.wait(self._owner, size):
            detail = _TOO_MUCH.format(OWNER_BYTES_PER_MINUTE / 1024**2, seconds)
            raise HTTPException(429, detail, {"Retry-After": str(seconds)})
        if not self._gate.admits(self._owner, size):
            status, seconds = RETRY[Passing.TOO_MANY_BODIES]
            raise HTTPException(status, _BUSY, {"Retry-After": str(seconds)})
        self.size += size
        return message
