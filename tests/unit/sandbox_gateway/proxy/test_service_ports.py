"""Services of sandboxes over real sockets, as a browser uses them."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket
from websockets.asyncio.client import connect

from unit.sandbox_gateway.proxy.support import HEADERS, KEY, Gateway, at

HOST = "work-1-abc.box.example"


async def login(request: Request) -> Response:
    answer = RedirectResponse(f"http://localhost:{request.query_params['port']}/page", status_code=302)
    answer.set_cookie("seen", "yes", domain="box.example")
    return answer


async def page(request: Request) -> Response:
    host, cookie = request.headers["host"], request.cookies.get("seen")
    key = request.headers.get("x-session-api-key") or request.headers.get("x-api-key")
    return PlainTextResponse(f"{request.url.path} {host} {cookie} {key} {request.headers.get('authorization')}")


async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text(f"{websocket.headers['host']} {websocket.cookies.get('seen')}")
    with contextlib.suppress(Exception):
        await websocket.send_text(await websocket.receive_text())


PAGES = Starlette(routes=[Route("/login", login), WebSocketRoute("/ws", echo), Route("/{rest:path}", page)])


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    async with Gateway(tmp_path, base_domain="box.example") as gateway:
        await gateway.add_app(PAGES, runtime_id="pages")
        await gateway.add_app(PAGES)
        pages = gateway.directory.by_id["pages"].address
        assert pages is not None
        gateway.directory.services = {("work-1", "abc"): pages, ("vscode", "abc"): pages}
        yield gateway


def client(gateway: Gateway, host: str = HOST) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=gateway.url, headers={"Host": host}, trust_env=False)


async def test_a_page_with_a_cookie_and_a_redirect(gateway: Gateway) -> None:
    port = gateway.directory.services["work-1", "abc"].port
    async with client(gateway) as browser:
        answer = await browser.get("/login", params={"port": port})
        assert answer.status_code == 302
        assert answer.headers["location"] == "/page"
        assert "domain" not in answer.headers["set-cookie"].lower()
        shown = await browser.get("/page", headers={"Cookie": "seen=yes", "Authorization": "Bearer own"})
    assert shown.text == f"/page {HOST} yes None Bearer own"


async def test_the_runtime_apis_paths_are_the_pages_own(gateway: Gateway) -> None:
    async with client(gateway) as browser:
        for path in ("/start", "/list", "/health", "/docs", "/sessions/a"):
            assert (await browser.get(path)).text.startswith(f"{path} {HOST} ")


@pytest.mark.parametrize("service", ["work-1", "vscode"])
async def test_no_key_goes_to_a_service(gateway: Gateway, service: str) -> None:
    async with client(gateway, f"{service}-abc.box.example") as browser:
        shown = await browser.get("/x", headers=HEADERS | {"X-API-Key": "platform"})
    assert shown.text == f"/x {service}-abc.box.example None None None"


async def test_a_websocket_that_carries_no_key(gateway: Gateway) -> None:
    sock = socket.create_connection(("127.0.0.1", gateway.listener.port))
    headers = {"Cookie": "seen=yes", "Origin": f"http://{HOST}"}
    async with connect(f"ws://{HOST}/ws", sock=sock, additional_headers=headers, proxy=None) as websocket:
        assert await websocket.recv() == f"{HOST} yes"
        await websocket.send("and back")
        assert await websocket.recv() == "and back"
    assert not gateway.activity.touched, "anybody could keep the sandbox up"


@pytest.mark.parametrize(("service", "remedy"), [("work-1", "0.0.0.0"), ("vscode", "OH_ENABLE_VSCODE=1")])  # noqa: S104
@pytest.mark.parametrize("upgrade", [{}, {"Connection": "Upgrade", "Upgrade": "websocket"}])
async def test_where_nothing_listens_the_answer_says_what_to_do(
    gateway: Gateway, service: str, remedy: str, upgrade: dict[str, str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = at(*free.getsockname())
    gateway.directory.services = {(service, "abc"): address}
    async with client(gateway, f"{service}-abc.box.example") as browser:
        async with asyncio.timeout(5):
            answer = await browser.get("/", headers=upgrade)
    assert answer.status_code == 503
    detail = answer.json()["detail"]
    assert str(address.port) in detail
    assert remedy in detail


@pytest.mark.parametrize(
    ("service", "given", "counts"),
    [
        ("work-1", {}, False),
        ("work-1", {"headers": HEADERS}, True),
        ("work-1", {"params": {"tkn": KEY}}, False),
        ("work-1", {"headers": {"Cookie": f"vscode-tkn={KEY}"}}, False),
        ("vscode", {"params": {"tkn": KEY, "folder": "/workspace"}}, True),
        ("vscode", {"params": {"tkn": "wrong"}}, False),
        ("vscode", {"headers": {"Cookie": f"a=b; vscode-tkn={KEY}"}}, True),
        ("vscode", {"headers": {"Cookie": "vscode-tkn=wrong"}}, False),
        ("vscode", {}, False),
    ],
)
async def test_who_shows_the_key_keeps_the_sandbox_up(
    gateway: Gateway, service: str, given: dict[str, Any], counts: bool
) -> None:
    async with client(gateway, f"{service}-abc.box.example") as browser:
        assert (await browser.get("/x", **given)).status_code == 200
    assert gateway.activity.begun["abc"] == counts
