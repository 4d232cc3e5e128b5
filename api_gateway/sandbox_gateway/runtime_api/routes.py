"""The Runtime API's endpoints for sandboxes: parse, ask the service, answer."""

from typing import Annotated
from urllib.parse import unquote

from fastapi import APIRouter, Body, Depends, Path, Query, Request

from sandbox_common.api_keys import ApiKey
from sandbox_common.sandboxes.explain import Explanation
from sandbox_common.spans import OpenSpan, Tracing, attributes_of, traced
from sandbox_gateway.contract.addresses import Origin
from sandbox_gateway.contract.errors import NotAllowedError
from sandbox_gateway.contract.requests import RuntimeRequest, StartRequest
from sandbox_gateway.contract.responses import (
    ListResponse,
    RuntimeResponse,
    StopResponse,
    WarmRuntimeConfigsResponse,
)
from sandbox_gateway.proxy.steps import in_steps
from sandbox_gateway.runtime_api import examples
from sandbox_gateway.runtime_api.answers import Answers
from sandbox_gateway.runtime_api.audit import Noted, noted_in
from sandbox_gateway.runtime_api.explanations import Explanations
from sandbox_gateway.runtime_api.gate import chosen_reach, key_of, owner_of, reach_of
from sandbox_gateway.runtime_api.openapi import answers as described
from sandbox_gateway.runtime_api.openapi import bodies
from sandbox_gateway.sandboxes.api import Reach
from sandbox_gateway.sandboxes.permissions import Permissions
from sandbox_gateway.sandboxes.pools import Pools
from sandbox_gateway.sandboxes.service import Found, SandboxService

Key = Annotated[ApiKey, Depends(key_of)]
Owner = Annotated[str, Depends(owner_of)]
Reaching = Annotated[Reach, Depends(reach_of)]
Chosen = Annotated[Reach, Depends(chosen_reach)]
Audited = Annotated[Noted, Depends(noted_in)]
RuntimeId = Annotated[str, Path(description="`runtime_id` of its /start.", examples=[examples.RUNTIME_ID])]
Runtime = Annotated[RuntimeRequest, Body(openapi_examples=bodies(a_sandbox=examples.RUNTIME))]


_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
_NO_ADMIN = (
    "This gateway has no admin API. Make API keys and their limits with `kubectl ohsb keys`, warm pods with "
    "SandboxPools in Kubernetes."
)


def sandbox_routes(
    service: SandboxService,
    answers: Answers,
    explanations: Explanations,
    pools: Pools,
    permissions: Permissions,
    tracing: Tracing | None,
) -> APIRouter:
    """The endpoints over one service."""
    router = APIRouter(tags=["sandboxes"])

    def answer(request: Request, noted: Noted, owner: str, found: Found) -> RuntimeResponse:
        noted.sandbox(found[0])
        return answers.runtime(*found, origin_of(request), owner)

    async def of_session(request: Request, owner: str, noted: Noted, session_id: str) -> RuntimeResponse:
        noted.session(session_id, service.runtime_id(owner, session_id))
        return answer(request, noted, owner, await service.get_session(owner, session_id))

    @router.post(
        "/start",
        summary="Start a sandbox",
        responses=described(403, 408, 409, 413, 429, running=examples.RUNNING, failed=examples.FAILED),
    )
    async def start(
        request: Request,
        key: Key,
        noted: Audited,
        body: Annotated[
            StartRequest,
            Body(openapi_examples=bodies(as_the_SDK_sends_it=examples.SDK_START, as_the_app_does=examples.APP_START)),
        ],
    ) -> RuntimeResponse:
        """Make, find or resume a session's sandbox. The answer comes when it is ready or failed, or after about 10 s.

        A failed sandbox gets a new pod, made as this request asks; it keeps its key and its workspace volume. A paused
        one is resumed with the fields that the request names. One that runs or starts does not change: `events` then
        name the fields that were not applied (`StartFieldsIgnored`).
        """
        noted.session(body.session_id, service.runtime_id(key.owner, body.session_id))
        noted.sandbox_class, noted.image = body.sandbox_class, body.image
        with traced(tracing, "start sandbox", request.headers.get("traceparent", "")) as span:
            found, ignored = await service.start(key, body, span)
            noted.sandbox(found[0])
            _describe(span, found)
        return answers.runtime(*found, origin_of(request), key.owner, ignored)

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
        noted: Audited,
        ids: Annotated[
            list[str],
            Query(default_factory=list, description="A session id; give it once for each.", examples=[["a-session"]]),
        ],
    ) -> list[RuntimeResponse | None] | RuntimeResponse:
        """The sandboxes of several sessions, from memory, answered at once. The answer has one entry for each of `ids`.

        The entry of a session without a sandbox is null.

        Without `ids`, the path means the session whose id is `batch`.
        """
        if not ids:
            return await of_session(request, owner, noted, "batch" + _query(request))
        origin = origin_of(request)
        found = await service.get_batch(owner, ids)
        # Each session is looked at once, even if `ids` names it a thousand times.
        known = {entry[0].metadata.name: entry for entry in found if entry}
        noted.runtime_ids = list(known)
        made = {name: answers.one_of_several(*entry, origin, owner) async for name, entry in in_steps(known.items())}
        return [entry and made[entry[0].metadata.name] for entry in found]

    @router.get(
        "/sessions/{session_id:anything}",
        summary="Look at a session",
        responses=described(404, running=examples.RUNNING, failed=examples.FAILED, paused=examples.PAUSED),
    )
    async def session(
        request: Request,
        owner: Owner,
        noted: Audited,
        session_id: Annotated[
            str, Path(description="The client's own handle.", examples=[examples.SDK_START["session_id"]])
        ],
    ) -> RuntimeResponse:
        """The session's sandbox, held for about 10 s while it starts. The rest of the path is the session id."""
        return await of_session(request, owner, noted, session_id + _query(request))

    @router.get(
        "/runtime/{runtime_id}", summary="Look at a sandbox", responses=described(404, running=examples.RUNNING)
    )
    async def runtime(request: Request, owner: Owner, noted: Audited, runtime_id: RuntimeId) -> RuntimeResponse:
        """As `/sessions/{session_id}`, by the sandbox's name."""
        noted.runtime_id = runtime_id
        return answer(request, noted, owner, await service.get(owner, runtime_id))

    @router.get(
        "/list",
        summary="List the sandboxes that start or run",
        responses=described(
            403,
            sandboxes={"runtimes": [examples.RUNNING], "total": 1},
            for_an_administrator={"runtimes": [examples.RUNNING, examples.OF_ANOTHER], "total": 2},
        ),
    )
    async def list_live(request: Request, owner: Owner, reach: Chosen, noted: Audited) -> ListResponse:
        """The starting and running sandboxes of the API key's owner, from memory, without cost for the cluster.

        With the permission `admin`: those of all owners, without what opens them.
        """
        origin = origin_of(request)
        noted.sandbox_owner = reach
        live = in_steps(await service.list_live(reach))
        known = [answers.one_of_several(*found, origin, owner) async for found in live]
        runtimes = [entry for entry in known if entry is not None]
        noted.runtime_ids = [entry.runtime_id for entry in runtimes]
        return ListResponse(runtimes=runtimes, total=len(runtimes))

    @router.post("/pause", summary="Pause a sandbox", responses=described(404, 408, 409, 413, paused=examples.PAUSED))
    async def pause(request: Request, owner: Owner, reach: Reaching, noted: Audited, body: Runtime) -> RuntimeResponse:
        """Delete its pod; keep its URL, its key and its volume.

        Without a volume, this is refused (409), unless the class accepts that `/workspace` is lost. `events` say
        whether it is kept. After this, only /resume and /start run it again, even if it had been paused as idle before.
        With the permission `admin`: also another owner's.
        """
        noted.runtime_id = body.runtime_id
        return answer(request, noted, owner, await service.pause(reach, body.runtime_id))

    @router.post(
        "/resume", summary="Resume a sandbox", responses=described(404, 408, 409, 413, 429, running=examples.RUNNING)
    )
    async def resume(request: Request, owner: Owner, noted: Audited, body: Runtime) -> RuntimeResponse:
        """Give a paused or failed sandbox a new pod with its workspace. A running one does not change."""
        noted.runtime_id = body.runtime_id
        with traced(tracing, "resume sandbox", request.headers.get("traceparent", "")) as span:
            found = await service.resume(owner, body.runtime_id, span)
            _describe(span, found)
        return answer(request, noted, owner, found)

    @router.post("/stop", summary="Stop a sandbox", responses=described(404, 408, 413, stopped=examples.STOPPED))
    async def stop(reach: Reaching, noted: Audited, body: Runtime) -> StopResponse:
        """Delete it and everything that belongs to it, in the background. With the permission `admin`: also another
        owner's.
        """
        noted.runtime_id = body.runtime_id
        sandbox = await service.stop(reach, body.runtime_id)
        noted.sandbox(sandbox)
        return StopResponse(runtime_id=sandbox.metadata.name, session_id=sandbox.spec.session_id)

    @router.get(
        "/explain/{runtime_id}",
        summary="Say why a sandbox is as it is",
        responses=described(404, unschedulable=examples.EXPLAINED),
    )
    async def explain(reach: Reaching, noted: Audited, runtime_id: RuntimeId) -> Explanation:
        """The cause in words, the evidence for it, and the remedy. With the permission `admin`: also of others."""
        noted.runtime_id = runtime_id
        found = await service.look(reach, runtime_id)
        noted.sandbox(found[0])
        return await explanations.of(*found)

    @router.get(
        "/api/warm-runtime-configs",
        summary="List the pools of warm sandboxes",
        responses=described(a_pool={"configs": [examples.WARM_CONFIG]}, no_pools={"configs": []}),
    )
    async def warm_runtime_configs(key: Key, noted: Audited) -> WarmRuntimeConfigsResponse:
        """What each pool of the key's default class keeps ready.

        A /start that asks for exactly that finds an agent server that already runs.
        """
        noted.sandbox_class = class_name = permissions.default_class(key.policy)
        return WarmRuntimeConfigsResponse(configs=await pools.configs(class_name))

    @router.api_route("/api/keys", methods=_METHODS, include_in_schema=False)
    @router.api_route("/api/keys/{path:anything}", methods=_METHODS, include_in_schema=False)
    @router.api_route("/api/admin/{path:anything}", methods=_METHODS, include_in_schema=False)
    async def admin() -> None:
        """Not offered: tools for administrators of the hosted service call these."""
        raise NotAllowedError(_NO_ADMIN)

    return router


def _query(request: Request) -> str:
    """The query as a part of a session id: OpenHands' SDK writes ids into the path as they are, also with a `?`."""
    query = request.scope["query_string"].decode("latin-1")
    return f"?{unquote(query)}" if query else ""


def _describe(span: OpenSpan | None, found: Found) -> None:
    """Say of which sandbox the span is, and how it is now."""
    if span:
        span.describe({**attributes_of(found[0]), "openhands.sandbox.status": found[1].status})


def origin_of(request: Request) -> Origin:
    """Where the client has reached the gateway."""
    headers = request.headers
    return Origin(headers.get("x-forwarded-proto", "http"), headers.get("x-forwarded-host") or headers.get("host", ""))
