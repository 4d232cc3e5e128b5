"""The page that describes the Runtime API. It loads everything from the gateway itself."""

from collections.abc import Callable
from functools import partial
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import Route

from sandbox_gateway.proxy.routing import DOCS_PATH

_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>OpenHands Runtime API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
_START = 'SwaggerUIBundle({url: "openapi.json", dom_id: "#swagger-ui", deepLinking: true, validatorUrl: null});\n'
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


def docs_routes() -> list[Route]:
    """The routes of the page and of its files; `openapi.json` is the application's own."""
    return [
        _route("", lambda: HTMLResponse(_PAGE, headers=_HEADERS)),
        _route("/start.js", lambda: Response(_START, headers=_HEADERS, media_type="text/javascript")),
        *(_route(f"/{name}", partial(_of_swagger_ui, name)) for name in ("swagger-ui.css", "swagger-ui-bundle.js")),
    ]


def _of_swagger_ui(name: str) -> Response:
    return FileResponse(str(files("fastapi_offline") / "static" / name), headers=_HEADERS)


def _route(path: str, answer: Callable[[], Response]) -> Route:
    async def endpoint(_: Request) -> Response:
        return answer()

    return Route(DOCS_PATH + path, endpoint, include_in_schema=False)
