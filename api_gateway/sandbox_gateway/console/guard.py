"""Checks each request for the console before its page is made: who has signed in, where it comes from, and how often.

Owners share the console's requests and its time as they share those of the API. All answers get the headers that
confine them to themselves.
"""

import asyncio
from math import ceil
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sandbox_gateway.console import browsers
from sandbox_gateway.console.paths import ROOT, SIGN_IN, STATIC
from sandbox_gateway.console.rendering import Pages
from sandbox_gateway.console.sessions import Sessions, SignedIn
from sandbox_gateway.contract.addresses import Origin
from sandbox_gateway.contract.retry import RETRY, Passing
from sandbox_gateway.proxy.fair import Fair
from sandbox_gateway.proxy.steps import Steps
from sandbox_gateway.proxy.turns import Turns
from sandbox_gateway.runtime_api.gate import CALLS, STEPS
from sandbox_gateway.runtime_api.rates import Rates

ATTEMPTS_PER_MINUTE = 20
"""Attempts to sign in from one address, in each process."""
_BODY_BYTES = 4096
_BODY_SECONDS = 10.0
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    # With no-referrer, browsers would send no Origin with forms. Other sites get no referrer either way.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_STRANGER = (
    "This request does not come from a page of this console. Open the console again and repeat it there. If that does "
    "not help, the proxy in front of the gateway hides its address: set gateway.publicURL or gateway.trustedProxies of "
    "the chart."
)
_STALE = "The page with this button belongs to an earlier session. Open the page again and repeat it there."
_TOO_OFTEN = "Too many attempts to sign in. Try again in {} s."
_TOO_MANY_CALLS = (
    "The requests of this owner that are under way take all the room that there is beside other owners'. Close some "
    "pages of the console, and try again."
)
_OVER_RATE = "The console has been asked more than {} times in this minute with this API key. Try again in {} s."


class Guard:
    """ASGI middleware. Puts who has signed in into `state.signed_in`, and the fields of a form into `state.form`;
    `state.is_key_valid` says whether the session goes on.

    `requests_per_minute` is for keys without their own limit; 0: none.
    """

    def __init__(
        self, app: ASGIApp, sessions: Sessions, pages: Pages, public: Origin | None, requests_per_minute: int
    ) -> None:
        self._app = app
        self._sessions = sessions
        self._pages = pages
        self._public = public
        self._requests_per_minute = requests_per_minute
        self._attempts = Rates()
        self._rates = Rates()
        self._calls = Fair(CALLS)
        self._turns = Turns(STEPS, lambda go: asyncio.get_running_loop().call_soon(go))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        headers = Headers(scope=scope)
        signed_in = self._sessions.find(browsers.cookies(headers))
        state = scope.setdefault("state", {})
        state["signed_in"], state["api_key"] = signed_in, signed_in and signed_in.key
        state["is_key_valid"] = lambda: signed_in is not None and self._sessions.is_valid(signed_in)
        answering = self._confined(scope["path"], headers, signed_in, send)
        request = Request(scope, receive)
        refusal = await self._refusal(request, signed_in)
        if refusal is not None:
            await refusal(scope, receive, answering)
        elif signed_in is None:
            await self._app(scope, receive, answering)
        else:
            owner = signed_in.key.owner
            self._calls.take(owner)
            try:
                await Steps(self._app(scope, receive, answering), owner, self._turns)
            finally:
                self._calls.give_back(owner)

    async def _refusal(self, request: Request, signed_in: SignedIn | None) -> Response | None:
        """The answer to a request that no page is made for."""
        path, changes = request.url.path, request.method not in {"GET", "HEAD"}
        if path.startswith(f"{STATIC}/"):
            return None
        if changes and not browsers.from_own_page(request.headers, self._public):
            return self._pages.problem(request, 403, _STRANGER)
        now = asyncio.get_running_loop().time()
        if changes and path == SIGN_IN:
            if wait := ceil(self._attempts.take(_network(request), ATTEMPTS_PER_MINUTE, now)):
                return self._pages.sign_in(request, 429, _TOO_OFTEN.format(wait), retry_after=wait)
        elif signed_in is None:
            return (
                None if path in {ROOT, f"{ROOT}/", SIGN_IN} else self._pages.sign_in(request, 401, next_=_next(request))
            )
        elif refusal := self._over_rate(request, signed_in, now):
            return refusal
        elif not self._calls.left(signed_in.key.owner):
            status, seconds = RETRY[Passing.TOO_MANY_OF_OWNER]
            return self._pages.problem(request, status, _TOO_MANY_CALLS, retry_after=seconds)
        return await self._read_form(request, signed_in) if changes else None

    async def _read_form(self, request: Request, signed_in: SignedIn | None) -> Response | None:
        body = b""
        try:
            async with asyncio.timeout(_BODY_SECONDS):
                async for part in request.stream():
                    body += part
                    if len(body) > _BODY_BYTES:
                        return self._pages.problem(request, 413, f"The form is larger than {_BODY_BYTES} bytes.")
        except (TimeoutError, ClientDisconnect):
            return self._pages.problem(request, 408, "The form did not come in time. Send it again.")
        fields = parse_qs(body.decode("ascii", "replace"), max_num_fields=16) if body.count(b"&") < 16 else {}
        form = {name: values[-1] for name, values in fields.items()}
        request.state.form = form
        if request.url.path == SIGN_IN:
            return None
        if signed_in is None or not self._sessions.is_form_token(signed_in.session, form.get("token", "")):
            return self._pages.problem(request, 403, _STALE)
        return None

    def _over_rate(self, request: Request, signed_in: SignedIn, now: float) -> Response | None:
        key = signed_in.key
        limit = key.policy.limits.requests_per_minute or self._requests_per_minute
        wait = ceil(self._rates.take(key.name, limit, now)) if limit else 0
        if not wait:
            return None
        return self._pages.problem(request, 429, _OVER_RATE.format(limit, wait), retry_after=wait)

    def _confined(self, path: str, headers: Headers, signed_in: SignedIn | None, send: Send) -> Send:
        """Sends, with the headers of all answers and a cookie that says that the session is used."""
        # A stream goes on without a person, so it does not count as use.
        by_person = (
            signed_in is not None and not path.endswith(("/updates", "/log")) and not path.startswith(f"{STATIC}/")
        )
        renewed = self._sessions.renewed(signed_in.session) if signed_in and by_person else None

        async def answering(message: Message) -> None:
            if message["type"] == "http.response.start":
                fields = MutableHeaders(scope=message)
                fields.update(_HEADERS)
                fields.setdefault("Cache-Control", "no-store")
                if renewed and "set-cookie" not in fields:
                    value = self._sessions.seal(renewed)
                    fields.append("Set-Cookie", browsers.set_cookie(value, secure=browsers.by_tls(headers)))
            await send(message)

        return answering


def _network(request: Request) -> str:
    """The client's address; of IPv6, the network that one client has."""
    address = request.headers.get("x-forwarded-for", "")
    return ":".join(address.split(":")[:4]) if ":" in address else address


def _next(request: Request) -> str:
    """Where to go after the sign-in."""
    query = request.scope["query_string"].decode("latin-1")
    return request.url.path + (f"?{query}" if query else "") if request.method == "GET" else ROOT
