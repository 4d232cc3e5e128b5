"""The Runtime API's endpoints for sandboxes: parse, ask the service, answer."""

from typing import Annotated
from urllib.parse import unquote

from fastapi import APIRouter, Body, Depends, Path, Query, Request
from starlette.convertors import Convertor, register_url_convertor

from sandbox_common.api_keys import ApiKey
from sandbox_gateway.contract.addresses import Origin
from sandbox_gateway.contract.errors import NotAllowedError
from sandbox_gateway.contract.requests import RuntimeRequest, StartRequest
from sandbox_gateway.contract.responses import (
    ExplainResponse,
    ListResponse,
    RuntimeResponse,
    StopResponse,
    WarmRuntimeConfigsResponse,
)
from sandbox_gateway.proxy.steps import in_steps
from sandbox_gateway.runtime_api import examples
from sandbox_gateway.runtime_api.answers import Answers
from sandbox_gateway.runtime_api.explanations import Explanations
from sandbox_gateway.runtime_api.gate import key_of, owner_of
from sandbox_gateway.runtime_api.openapi import answers as described
from sandbox_gateway.runtime_api.openapi import bodies
from sandbox_gateway.sandboxes.permissions import Permissions
from sandbox_gateway.sandboxes.pools import Pools
from sandbox_gateway.sandboxes.service import Found, SandboxService

Key = Annotated[ApiKey, Depends(key_of)]
Owner = Annotated[str, Depends(owner_of)]
RuntimeId = Annotated[str, Path(description="`runtime_id` of its /start.", examples=[examples.RUNTIME_ID])]
Runtime = Annotated[RuntimeRequest, Body(openapi_examples=bodies(a_sandbox=examples.RUNTIME))]


class _Anything(Convertor[str]):
    """All that is left of a path; Starlette's own `path` stops at a newline."""

    regex = r"[\s\S]*"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("anything", _Anything())

_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
_NO_ADMIN = (
    "This gateway has no admin API. API keys and their limits are made with `kubectl ohsb keys`, warm pods with "
    "SandboxPools in Kubernetes."
)


def sandbox_routes(
    service: SandboxService, answers: Answers, explanations: Explanations, pools: Pools, permissions: Permissions
) -> APIRouter:
    """The endpoints over one service."""
    router = APIRouter(tags=["sandboxes"])

    def tell(request: Request, found: Found) -> RuntimeResponse:
        return answers.runtime(*found, _origin(request))

    @router.post(
        "/start",
        summary="Start a sandbox",
        responses=described(403, 408, 409, 413, 429, running=examples.RUNNING, failed=examples.FAILED),
    )
    async def start(
        request: Request,
        key: Key,
        body: Annotated[
            StartRequest,
            Body(openapi_examples=bodies(as_the_SDK_sends_it=examples.SDK_START, as_the_app_does=examples.APP_START)),
        ],
    ) -> RuntimeResponse:
        """The session's sandbox, made, found or resumed; held until it is ready or has failed, or about 10 s have gone.

        One that has failed is given a new pod, made as this request asks; its key and its workspace volume stay. One
        that is paused is resumed with those fields that the request names. One that runs or starts is left alone:
        `events` then name the fields that were not applied (`StartFieldsIgnored`).
        """
        found, ignored = await service.start(key, body)
        return answers.runtime(*found, _origin(request), ignored)

    @router.get(
        "/sessions/batch",
        summary="Look at several sessions",
        responses=described(
            404, sandboxes=[examples.RUNNING, None, examples.PAUSED], the_session_batch=examples.RUNNING
        ),
    )
    async def batch(
        request: Request,
        owner: Owner,
        ids: Annotated[
            list[str],
            Query(default_factory=list, description="A session id; give it once for each.", examples=[["a-session"]]),
        ],
    ) -> list[RuntimeResponse | None] | RuntimeResponse:
        """What each of the sessions has, from memory: the answer is not held. It has one entry for each of `ids`.

        The entry of a session that has no sandbox is null.

        Without `ids` it means the session whose id is `batch`.
        """
        if not ids:
            return tell(request, await service.get_session(owner, "batch" + _query(request)))
        origin = _origin(request)
        found = await service.get_batch(owner, ids)
        # A session that is asked for a thousand times is told as often, but looked at once.
        known = {entry[0].metadata.name: entry for entry in found if entry}
        told = {name: answers.one_of_several(*entry, origin) async for name, entry in in_steps(known.items())}
        return [entry and told[entry[0].metadata.name] for entry in found]

    @router.get(
        "/sessions/{session_id:anything}",
        summary="Look at a session",
        responses=described(404, running=examples.RUNNING, failed=examples.FAILED, paused=examples.PAUSED),
    )
    async def session(
        request: Request,
        owner: Owner,
        session_id: Annotated[
            str, Path(description="The client's own handle.", examples=[examples.SDK_START["session_id"]])
        ],
    ) -> RuntimeResponse:
        """The session's sandbox, held for about 10 s while it starts. All behind `/sessions/` is the session id."""
        return tell(request, await service.get_session(owner, session_id + _query(request)))

    @router.get(
        "/runtime/{runtime_id}", summary="Look at a sandbox", responses=described(404, running=examples.RUNNING)
    )
    async def runtime(request: Request, owner: Owner, runtime_id: RuntimeId) -> RuntimeResponse:
        """As `/sessions/{session_id}`, by the sandbox's name."""
        return tell(request, await service.get(owner, runtime_id))

    @router.get(
        "/list",
        summary="List the sandboxes that start or run",
        responses=described(sandboxes={"runtimes": [examples.RUNNING], "total": 1}),
    )
    async def list_live(request: Request, owner: Owner) -> ListResponse:
        """Those of this API key, from memory: it costs the cluster nothing, however often it is asked."""
        origin = _origin(request)
        known = [answers.one_of_several(*found, origin) async for found in in_steps(await service.list_live(owner))]
        runtimes = [entry for entry in known if entry is not None]
        return ListResponse(runtimes=runtimes, total=len(runtimes))

    @router.post("/pause", summary="Pause a sandbox", responses=described(404, 408, 413, paused=examples.PAUSED))
    async def pause(request: Request, owner: Owner, body: Runtime) -> RuntimeResponse:
        """Delete its pod; keep its URL, its key and, if its class has one, its volume.

        `events` say whether the workspace is kept. Only /resume and /start run it again, also when it had been paused
        before because it was idle.
        """
        return tell(request, await service.pause(owner, body.runtime_id))

    @router.post(
        "/resume", summary="Resume a sandbox", responses=described(404, 408, 409, 413, 429, running=examples.RUNNING)
    )
    async def resume(request: Request, owner: Owner, body: Runtime) -> RuntimeResponse:
        """Give a paused or failed sandbox a new pod, with the workspace that it has. A running one is left alone."""
        return tell(request, await service.resume(owner, body.runtime_id))

    @router.post("/stop", summary="Stop a sandbox", responses=described(404, 408, 413, stopped=examples.STOPPED))
    async def stop(owner: Owner, body: Runtime) -> StopResponse:
        """Delete it with everything that belongs to it, in the background."""
        sandbox = await service.stop(owner, body.runtime_id)
        return StopResponse(runtime_id=sandbox.metadata.name, session_id=sandbox.spec.session_id)

    @router.get(
        "/explain/{runtime_id}",
        summary="Say why a sandbox is as it is",
        responses=described(404, unschedulable=examples.EXPLAINED),
    )
    async def explain(owner: Owner, runtime_id: RuntimeId) -> ExplainResponse:
        """The cause in words, what it is known from, and what to do about it."""
        return await explanations.of(owner, runtime_id)

    @router.get(
        "/api/warm-runtime-configs",
        summary="List the pools of warm sandboxes",
        responses=described(a_pool={"configs": [examples.WARM_CONFIG]}, no_pools={"configs": []}),
    )
    async def warm_runtime_configs(key: Key) -> WarmRuntimeConfigsResponse:
        """What each pool of the key's default class keeps ready.

        A /start that asks for just that finds an agent server that runs already.
        """
        return WarmRuntimeConfigsResponse(configs=await pools.configs(permissions.default_class(key.policy)))

    @router.api_route("/api/keys", methods=_METHODS, include_in_schema=False)
    @router.api_route("/api/keys/{path:anything}", methods=_METHODS, include_in_schema=False)
    @router.api_route("/api/admin/{path:anything}", methods=_METHODS, include_in_schema=False)
    async def admin() -> None:
        """Not offered: tools for administrators of the hosted service call these."""
        raise NotAllowedError(_NO_ADMIN)

    return router


def _query(request: Request) -> str:
    """OpenHands' SDK writes session ids into the path as they are, so a `?` in one begins a query on the way."""
    query = request.scope["query_string"].decode("latin-1")
    return f"?{unquote(query)}" if query else ""


def _origin(request: Request) -> Origin:
    headers = request.headers
    return Origin(headers.get("x-forwarded-proto", "http"), headers.get("x-forwarded-host") or headers.get("host", ""))
