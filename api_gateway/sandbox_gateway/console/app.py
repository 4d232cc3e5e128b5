"""The console as an ASGI application, beside the Runtime API."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from importlib.resources import files
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from sandbox_common import service_ports
from sandbox_common.sandboxes.view import View
from sandbox_crds.models import Sandbox, UsageAmounts
from sandbox_gateway.console import browsers, details, plots
from sandbox_gateway.console.details import Action
from sandbox_gateway.console.guard import Guard
from sandbox_gateway.console.live import Make, TableUpdates, updates
from sandbox_gateway.console.paths import ROOT, SIGN_IN, STATIC, verb_of
from sandbox_gateway.console.rendering import Pages, fragment, sandbox_url
from sandbox_gateway.console.rows import Rows, row_of
from sandbox_gateway.console.selection import Query
from sandbox_gateway.console.sessions import Sessions, SignedIn
from sandbox_gateway.contract.addresses import Addresses, Origin
from sandbox_gateway.contract.errors import InvalidRequestError
from sandbox_gateway.runtime_api.audit import Audit, Auditor, Noted
from sandbox_gateway.runtime_api.errors import OF_SERVICES
from sandbox_gateway.runtime_api.events import EventStream
from sandbox_gateway.runtime_api.explanations import Explanations
from sandbox_gateway.runtime_api.histories import Histories
from sandbox_gateway.runtime_api.logs import LogStream, moment
from sandbox_gateway.runtime_api.routes import origin_of
from sandbox_gateway.runtime_api.streams import Streams
from sandbox_gateway.sandboxes.api import Reach
from sandbox_gateway.sandboxes.cache import SandboxCache
from sandbox_gateway.sandboxes.capacity import Capacity
from sandbox_gateway.sandboxes.classes import SandboxClasses
from sandbox_gateway.sandboxes.logs import LogQuery, Logs
from sandbox_gateway.sandboxes.permissions import Permissions
from sandbox_gateway.sandboxes.service import SandboxService
from sandbox_gateway.sandboxes.usage import Usage

_SANDBOXES = f"{ROOT}/sandboxes"
_SANDBOX = f"{_SANDBOXES}/{{runtime_id}}"
_ON_CONSOLE = re.compile(rf"{ROOT}(?:[/?][!-~]*)?")
_FILES = {"console.css": "text/css", "console.js": "text/javascript", "icon.svg": "image/svg+xml"}
LOG_LINES = 1000
"""The most lines of a log that a page begins with."""
_NO_PAGE = "The console has no such page."
_UNKNOWN_KEY = "This is not a known API key. It may have expired or been revoked; ask who gave it to you for another."

type Handler = Callable[[Request], Awaitable[Response]]


class Console:
    """Pages over one replica's parts."""

    def __init__(
        self,
        sessions: Sessions,
        rows: Rows,
        service: SandboxService,
        explanations: Explanations,
        cache: SandboxCache,
        classes: SandboxClasses,
        histories: Histories,
        capacity: Capacity,
        permissions: Permissions,
        usage: Usage,
        logs: Logs,
        streams: Streams,
        *,
        base_domain: str = "",
        public: Origin | None = None,
        requests_per_minute: int = 0,
        auditor: Auditor | None = None,
    ) -> None:
        self._sessions = sessions
        self._rows = rows
        self._service = service
        self._explanations = explanations
        self._cache = cache
        self._classes = classes
        self._histories = histories
        self._capacity = capacity
        self._permissions = permissions
        self._usage = usage
        self._public = public
        self._addresses = Addresses(base_domain, public)
        self._pages = Pages(sessions)
        self._logs = logs
        self._streams = streams
        routes = [
            _route(ROOT, self._root),
            _route(f"{ROOT}/", self._root),
            _route(SIGN_IN, self._sign_in_page),
            _route(SIGN_IN, self._sign_in, "POST"),
            _route(f"{ROOT}/sign-out", self._sign_out, "POST"),
            _route(_SANDBOXES, self._table),
            _route(f"{_SANDBOXES}/updates", self._table_updates),
            _route(_SANDBOX, self._sandbox),
            _route(f"{_SANDBOX}/updates", self._sandbox_updates),
            _route(f"{_SANDBOX}/log", self._log),
            *(_route(f"{_SANDBOX}/{action}", self._act, "POST") for action in details.ACTIONS),
            _route(f"{ROOT}/pools", self._pools_page),
            _route(f"{ROOT}/usage", self._usage_page),
            _route(f"{STATIC}/{{name}}", self._file),
        ]
        self.app = app = Starlette(
            routes=routes,
            middleware=[
                Middleware(Audit, auditor, verb_of, "console"),
                Middleware(Guard, sessions, self._pages, public, requests_per_minute),
            ],
            exception_handlers={
                HTTPException: self._no_page,
                **{kind: self._as_page(refuse) for kind, refuse in OF_SERVICES.items()},
            },
        )
        app.router.redirect_slashes = False

    # Sign-in

    async def _root(self, request: Request) -> Response:
        return RedirectResponse(_SANDBOXES if request.state.signed_in else SIGN_IN, 303)

    async def _sign_in_page(self, request: Request) -> Response:
        return RedirectResponse(_SANDBOXES, 303) if request.state.signed_in else self._pages.sign_in(request)

    async def _sign_in(self, request: Request) -> Response:
        form: dict[str, str] = request.state.form
        next_ = form.get("next", "")
        next_ = next_ if _ON_CONSOLE.fullmatch(next_) else ROOT
        signed_in = self._sessions.begin(form.get("key", "").strip())
        if signed_in is None:
            return self._pages.sign_in(request, 403, _UNKNOWN_KEY, next_=next_)
        request.scope["state"]["api_key"] = signed_in.key
        return _with_cookie(RedirectResponse(next_, 303), request, self._sessions.seal(signed_in.session))

    async def _sign_out(self, request: Request) -> Response:
        return _with_cookie(RedirectResponse(SIGN_IN, 303), request, "")

    # All sandboxes

    async def _table(self, request: Request) -> Response:
        scope, query = _scope(request), Query.parse(request.query_params)
        selection = await self._rows.select(scope, query)
        _noted(request).runtime_ids = [row.runtime_id for row in selection.rows]
        return self._pages.page(request, "sandboxes.html", selection=selection, all_owners=scope is None)

    async def _table_updates(self, request: Request) -> Response:
        scope, query = _scope(request), Query.parse(request.query_params)
        table = TableUpdates()
        _noted(request).runtime_ids = [row.runtime_id for row in (await self._rows.select(scope, query)).rows]

        async def make() -> bytes | None:
            return table.next(await self._rows.select(scope, query), all_owners=scope is None)

        return self._stream(request, make, lambda: self._rows.watching(scope))

    # One sandbox

    async def _sandbox(self, request: Request) -> Response:
        runtime_id = _runtime_id(request)
        found = await self._service.look(_scope(request), runtime_id)
        sandbox, seen = found
        _noted(request).sandbox(sandbox)
        is_own = sandbox.spec.owner == _signed_in(request).key.owner
        possible = details.actions(seen, is_own=is_own)
        asked = request.query_params.get("confirm")
        return self._pages.page(
            request,
            "sandbox.html",
            found=await self._shown(*found, possible),
            confirmed=next((action for action in possible if action.name == asked and action.question), None),
            snippet=details.snippet(sandbox, self._public or origin_of(request)) if is_own else "",
            links=self._links(sandbox, request) if is_own else (),
        )

    async def _sandbox_updates(self, request: Request) -> Response:
        runtime_id, reach = _runtime_id(request), _scope(request)
        signed_in = _signed_in(request)
        last: tuple[str, str, View] | None = None
        _noted(request).sandbox((await self._service.look(reach, runtime_id))[0])

        async def make() -> bytes | None:
            nonlocal last
            sandbox, seen = await self._service.look(reach, runtime_id)
            if last == (state := (sandbox.metadata.uid, sandbox.metadata.resource_version, seen)):
                return None
            last = state
            possible = details.actions(seen, is_own=sandbox.spec.owner == signed_in.key.owner)
            token = self._sessions.form_token(signed_in.session)
            shown = await self._shown(sandbox, seen, possible)
            return orjson.dumps({"html": fragment("status.html", found=shown, form_token=token)})

        return self._stream(request, make, lambda: self._cache.watching(runtime_id))

    async def _shown(self, sandbox: Sandbox, seen: View, possible: Sequence[Action]) -> Mapping[str, Any]:
        return {
            "row": row_of(sandbox, seen),
            "explained": await self._explanations.of(sandbox, seen),
            "history": await self._histories.of(sandbox),
            "facts": details.facts(sandbox, seen),
            "actions": possible,
        }

    def _links(self, sandbox: Sandbox, request: Request) -> Sequence[tuple[str, str, str]]:
        ports = service_ports.present(sandbox, self._classes.spec(sandbox.spec.class_name))
        return details.links(sandbox.metadata.name, ports, self._addresses, origin_of(request))

    async def _act(self, request: Request) -> Response:
        runtime_id, action = _runtime_id(request), request.url.path.rpartition("/")[2]
        reach, owner = _scope(request), _signed_in(request).key.owner
        _noted(request).runtime_id = runtime_id
        match action:
            case "pause":
                sandbox = (await self._service.pause(reach, runtime_id))[0]
            case "resume":
                sandbox = (await self._service.resume(owner, runtime_id))[0]
            case _:
                sandbox = await self._service.stop(reach, runtime_id)
        _noted(request).sandbox(sandbox)
        return RedirectResponse(_SANDBOXES if action == "stop" else sandbox_url(runtime_id), 303)

    async def _log(self, request: Request) -> Response:
        owner, runtime_id, query = _signed_in(request).key.owner, _runtime_id(request), request.query_params
        found = await self._service.look(_scope(request), runtime_id)
        _noted(request).sandbox(found[0])
        try:
            since = moment(query["since"]) if query.get("since") else None
        except ValueError as error:
            raise InvalidRequestError(f"since: {error}") from None
        asked = LogQuery(LOG_LINES, since, follow="follow" in query, timestamps="timestamps" in query)
        return LogStream(self._streams, request, owner, self._logs.read(*found, asked))

    def _stream(
        self, request: Request, make: Make, watching: Callable[[], AbstractContextManager[asyncio.Event]]
    ) -> Response:
        return EventStream(self._streams, request, _signed_in(request).key.owner, updates(make, watching))

    # Pools and usage

    async def _pools_page(self, request: Request) -> Response:
        key = _signed_in(request).key
        classes = None if key.policy.admin else self._permissions.class_names(key.policy)
        today, by_day = await self._by_day(key.owner)
        return self._pages.page(
            request,
            "pools.html",
            known=await self._capacity.pools(_scope(request), classes),
            hit_rate=plots.hit_rate(by_day),
            today=today,
        )

    async def _usage_page(self, request: Request) -> Response:
        key = _signed_in(request).key
        asked = request.query_params.get("owner", "")[:253]
        owner = asked if asked and key.policy.admin else key.owner
        _noted(request).sandbox_owner = owner
        today, by_day = await self._by_day(owner)
        owners = (await self._rows.select(None, Query())).owners if key.policy.admin else ()
        return self._pages.page(
            request,
            "usage.html",
            whose=owner,
            owners=owners,
            limits=details.limit_rows(self._capacity.limits(owner)),
            plots=plots.usage_plots(by_day),
            by_day=by_day,
            today=today,
        )

    async def _by_day(self, owner: str) -> tuple[str, Mapping[str, UsageAmounts]]:
        now, days = await self._usage.of(owner)
        return now.date().isoformat(), plots.daily(days, now.date())

    # The rest

    async def _file(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in _FILES:
            raise HTTPException(404)
        # The address is the same after an upgrade, so browsers ask each time whether theirs is the present one.
        headers = {"Cache-Control": "no-cache"}
        path = str(files("sandbox_gateway.console") / "static" / name)
        return FileResponse(path, media_type=_FILES[name], headers=headers)

    async def _no_page(self, request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 404
        return self._pages.problem(request, status, _NO_PAGE)

    def _as_page(self, refuse: Callable[[Request, Exception], Response]) -> Callable[[Request, Exception], Any]:
        async def handler(request: Request, error: Exception) -> Response:
            answer = refuse(request, error)
            detail: str = orjson.loads(bytes(answer.body))["detail"]
            retry_after = int(answer.headers.get("retry-after", "0"))
            return self._pages.problem(request, answer.status_code, detail, retry_after=retry_after)

        return handler


def with_console(runtime_api: ASGIApp, console: ASGIApp) -> ASGIApp:
    """Both applications as one."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        is_console = scope["type"] == "http" and (scope["path"] == ROOT or scope["path"].startswith(f"{ROOT}/"))
        await (console if is_console else runtime_api)(scope, receive, send)

    return app


def _route(path: str, endpoint: Handler, method: str = "GET") -> Route:
    return Route(path, endpoint, methods=[method])


def _signed_in(request: Request) -> SignedIn:
    return request.state.signed_in


def _noted(request: Request) -> Noted:
    return request.state.noted


def _scope(request: Request) -> Reach:
    """Whose sandboxes this person sees, pauses and stops."""
    key = _signed_in(request).key
    return None if key.policy.admin else key.owner


def _runtime_id(request: Request) -> str:
    return request.path_params["runtime_id"]


def _with_cookie(response: Response, request: Request, value: str) -> Response:
    response.headers["Set-Cookie"] = browsers.set_cookie(value, secure=browsers.by_tls(request.headers))
    return response
