"""The control plane as an ASGI application."""

from importlib.metadata import version

from fastapi import FastAPI
from starlette.middleware import Middleware

from sandbox_gateway.api_keys import ApiKeys
from sandbox_gateway.control.answers import Answers
from sandbox_gateway.control.errors import add_error_handlers
from sandbox_gateway.control.gate import Gate
from sandbox_gateway.control.routes import runtime_api
from sandbox_gateway.service import SandboxService


def create_app(service: SandboxService, answers: Answers, api_keys: ApiKeys) -> FastAPI:
    """The Runtime API. It trusts X-Forwarded-Proto and -Host, so only the gateway's own listener may reach it."""
    app = FastAPI(
        title="OpenHands Runtime API",
        version=version("openhands-sandbox"),
        summary="Starts, pauses, resumes and stops OpenHands agent servers on Kubernetes.",
        redoc_url=None,
        redirect_slashes=False,
        swagger_ui_oauth2_redirect_url=None,
        middleware=[Middleware(Gate, api_keys)],
    )
    add_error_handlers(app)
    app.include_router(runtime_api(service, answers))
    return app
