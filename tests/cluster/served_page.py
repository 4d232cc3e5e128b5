"""A web application such as an agent writes: it runs in a sandbox, on the port in its first argument.

It knows itself by `localhost`, and sets its cookie for a whole domain, the second argument.
"""

import sys
from html import escape

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

PORT, DOMAIN = int(sys.argv[1]), sys.argv[2]

PAGE = """<!doctype html><title>served</title>
<p id="cookie">{cookie}</p><p id="path"></p><p id="echo"></p>
<script>
  fetch("/start", {{method: "POST"}}).then(answer => answer.json()).then(body => path.textContent = body.path);
  const socket = new WebSocket(`ws://${{location.host}}/echo`);
  socket.onopen = () => socket.send("hello from " + location.pathname);
  socket.onmessage = event => {{ echo.textContent = event.data; socket.close(4321, "seen"); }};
  socket.onclose = event => document.title = `closed ${{event.code}}`;
</script>"""


async def enter(_: Request) -> Response:
    """Sets a cookie and redirects to its own address, as it knows it."""
    answer = RedirectResponse(f"http://localhost:{PORT}/page", status_code=303)
    answer.set_cookie("visit", "first", domain=DOMAIN, httponly=True)
    return answer


async def page(request: Request) -> Response:
    """Shows the cookies that came along."""
    return HTMLResponse(PAGE.format(cookie=escape(request.headers.get("cookie", "none"))))


async def start(request: Request) -> Response:
    """A path that the gateway has, too."""
    return JSONResponse({"path": f"{request.method} {request.url.path}"})


async def echo(websocket: WebSocket) -> None:
    """One message back, with the cookie that the handshake brought."""
    await websocket.accept()
    await websocket.send_text(f"{await websocket.receive_text()}, {websocket.headers.get('cookie', 'none')}")
    await websocket.receive()


uvicorn.run(
    Starlette(
        routes=[
            Route("/", enter),
            Route("/page", page),
            Route("/start", start, methods=["POST"]),
            WebSocketRoute("/echo", echo),
        ]
    ),
    host="0.0.0.0",  # noqa: S104
    port=PORT,
    log_level="warning",
)
