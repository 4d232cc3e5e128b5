"""The Runtime API's endpoints: parse, ask the service, answer."""

from typing import Annotated, Any
from urllib.parse import unquote

from fastapi import APIRouter, Depends, Request, Security
from fastapi.security import APIKeyHeader
from starlette.convertors import Convertor, register_url_convertor

from sandbox_crds.models import Sandbox
from sandbox_gateway.addresses import Origin
from sandbox_gateway.control.answers import Answers
from sandbox_gateway.control.gate import API_KEY_HEADER, owner_of
from sandbox_gateway.models import ErrorResponse, RuntimeRequest, RuntimeResponse, StartRequest, StopResponse
from sandbox_gateway.service import SandboxService
from sandbox_gateway.view import View

_KEY = APIKeyHeader(name=API_KEY_HEADER, auto_error=False, description="The platform's API key.")

Owner = Annotated[str, Depends(owner_of)]


class _Anything(Convertor[str]):
    """All that is left of a path; Starlette's own `path` stops at a newline."""

    regex = r"[\s\S]*"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("anything", _Anything())


def runtime_api(service: SandboxService, answers: Answers) -> APIRouter:
    """The endpoints over one service."""
    router = APIRouter(
        dependencies=[Security(_KEY)],
        responses={
            401: {"model": ErrorResponse, "description": "The API key is missing or unknown."},
            422: {"model": ErrorResponse, "description": "A field is missing or wrong; `detail` names it."},
            503: {"model": ErrorResponse, "description": "The Kubernetes API server does not answer."},
        },
    )
    missing: dict[int | str, dict[str, Any]] = {
        404: {"model": ErrorResponse, "description": "There is no such sandbox."}
    }

    def tell(request: Request, found: tuple[Sandbox, View]) -> RuntimeResponse:
        return answers.runtime(*found, _origin(request))

    @router.post("/start", summary="Start a sandbox")
    async def start(request: Request, owner: Owner, body: StartRequest) -> RuntimeResponse:
        """The session's sandbox: made, resumed, or replaced if it has failed. Held until it is ready, or a bound."""
        return tell(request, await service.start(owner, body))

    @router.get("/sessions/{session_id:anything}", summary="Look at a session", responses=missing)
    async def session(request: Request, owner: Owner, session_id: str) -> RuntimeResponse:
        """The session's sandbox, held while it is starting. All behind `/sessions/` is the session id."""
        return tell(request, await service.get(owner, session_id + _query(request)))

    @router.post("/pause", summary="Pause a sandbox", responses=missing)
    async def pause(request: Request, owner: Owner, body: RuntimeRequest) -> RuntimeResponse:
        """Delete its pod; keep its URL, its key and, if its class has one, its volume."""
        return tell(request, await service.pause(owner, body.runtime_id))

    @router.post("/resume", summary="Resume a sandbox", responses=missing)
    async def resume(request: Request, owner: Owner, body: RuntimeRequest) -> RuntimeResponse:
        """Give a paused sandbox a new pod. A running one is left alone."""
        return tell(request, await service.resume(owner, body.runtime_id))

    @router.post("/stop", summary="Stop a sandbox", responses=missing)
    async def stop(owner: Owner, body: RuntimeRequest) -> StopResponse:
        """Delete it with everything that belongs to it."""
        sandbox = await service.stop(owner, body.runtime_id)
        return StopResponse(runtime_id=sandbox.metadata.name, session_id=sandbox.spec.session_id)

    return router


def _query(request: Request) -> str:
    """OpenHands' SDK writes session ids into the path as they are, so a `?` in one begins a query on the way."""
    query = request.scope["query_string"].decode("latin-1")
    return f"?{unquote(query)}" if query else ""


def _origin(request: Request) -> Origin:
    headers = request.headers
    return Origin(headers.get("x-forwarded-proto", "http"), headers.get("x-forwarded-host") or headers.get("host", ""))
