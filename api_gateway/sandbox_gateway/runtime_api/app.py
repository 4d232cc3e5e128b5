"""The control plane as an ASGI application."""

from importlib.metadata import version

from fastapi import APIRouter, FastAPI, Security
from fastapi.security import APIKeyHeader
from starlette.middleware import Middleware

from sandbox_common.spans import Tracing
from sandbox_gateway.registry.images import Images
from sandbox_gateway.runtime_api.answers import Answers
from sandbox_gateway.runtime_api.audit import Audit, Auditor
from sandbox_gateway.runtime_api.capacity import capacity_routes
from sandbox_gateway.runtime_api.docs import docs_routes
from sandbox_gateway.runtime_api.errors import add_error_handlers
from sandbox_gateway.runtime_api.events import event_routes
from sandbox_gateway.runtime_api.explanations import Explanations
from sandbox_gateway.runtime_api.gate import API_KEY_HEADER, Gate
from sandbox_gateway.runtime_api.histories import Histories, history_routes
from sandbox_gateway.runtime_api.images import image_routes
from sandbox_gateway.runtime_api.logs import log_routes
from sandbox_gateway.runtime_api.openapi import refusals
from sandbox_gateway.runtime_api.routes import sandbox_routes
from sandbox_gateway.runtime_api.streams import Streams
from sandbox_gateway.runtime_api.usage import usage_routes
from sandbox_gateway.sandboxes.api_keys import ApiKeys
from sandbox_gateway.sandboxes.capacity import Capacity
from sandbox_gateway.sandboxes.feed import Feed
from sandbox_gateway.sandboxes.logs import Logs
from sandbox_gateway.sandboxes.permissions import Permissions
from sandbox_gateway.sandboxes.pools import Pools
from sandbox_gateway.sandboxes.pull_secrets import PullSecrets
from sandbox_gateway.sandboxes.service import SandboxService
from sandbox_gateway.sandboxes.usage import Usage

_DESCRIPTION = """\
Every call needs an API key in the header `X-API-Key`; a sandbox belongs to the key that started it, and does not exist
for others. Refusals are JSON objects with `detail`, a text for people.

The answers' `url` leads to the sandbox's agent server; its own API needs `session_api_key` in `X-Session-API-Key`.
"""
_KEY = APIKeyHeader(name=API_KEY_HEADER, auto_error=False, description="The platform's API key.")


def create_app(
    service: SandboxService,
    answers: Answers,
    explanations: Explanations,
    histories: Histories,
    capacity: Capacity,
    logs: Logs,
    pools: Pools,
    images: Images,
    pull_secrets: PullSecrets,
    api_keys: ApiKeys,
    permissions: Permissions,
    usage: Usage,
    feed: Feed,
    streams: Streams,
    *,
    registry_prefix: str = "",
    requests_per_minute: int = 0,
    auditor: Auditor | None = None,
    tracing: Tracing | None = None,
) -> FastAPI:
    """The Runtime API. It trusts X-Forwarded-For, -Proto and -Host, so only the gateway's own listener may reach it."""
    app = FastAPI(
        title="OpenHands Runtime API",
        version=version("openhands-sandbox"),
        summary="Starts, pauses, resumes and stops OpenHands agent servers on Kubernetes.",
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        middleware=[Middleware(Audit, auditor), Middleware(Gate, api_keys, requests_per_minute)],
        # Its spans would have paths, and with them session ids.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    add_error_handlers(app)
    api = APIRouter(dependencies=[Security(_KEY)], responses=refusals(401, 422, 429, 503))
    api.include_router(sandbox_routes(service, answers, explanations, pools, permissions, tracing))
    api.include_router(image_routes(images, pull_secrets, permissions, registry_prefix))
    api.include_router(usage_routes(usage))
    api.include_router(event_routes(feed, answers, streams))
    api.include_router(log_routes(service, logs, streams))
    api.include_router(capacity_routes(capacity, permissions))
    api.include_router(history_routes(service, histories))
    app.include_router(api)
    app.router.routes.extend(docs_routes())
    return app
