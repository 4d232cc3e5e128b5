"""The page that describes the Runtime API, which nothing from elsewhere is needed for."""

import re

import httpx
import pytest

from sandbox_gateway.proxy.routing import OPEN_PATHS
from unit.sandbox_gateway.support import ScriptedService, runtime_api


@pytest.fixture
async def pages() -> dict[str, httpx.Response]:
    """All that a browser without a key gets from the page on, by path."""
    async with runtime_api(ScriptedService()) as http:
        del http.headers["X-API-Key"]
        page = await http.get("/docs")
        names = re.findall(r'(?:src|href)="([^"]*)"', page.text)
        start = await http.get("/docs/start.js")
        names += re.findall(r'url: "([^"]*)"', start.text)
        paths = {str(page.url.join(name).path) for name in names if not name.startswith("data:")}
        return {"/docs": page, **{path: await http.get(path) for path in paths}}


async def test_everything_that_the_page_names_is_there(pages: dict[str, httpx.Response]) -> None:
    assert {path: page.status_code for path, page in pages.items()} == dict.fromkeys(OPEN_PATHS, 200)
    kinds = {path: page.headers["content-type"].partition(";")[0] for path, page in pages.items()}
    assert kinds == {
        "/docs": "text/html",
        "/docs/start.js": "text/javascript",
        "/docs/swagger-ui.css": "text/css",
        "/docs/swagger-ui-bundle.js": "text/javascript",
        "/openapi.json": "application/json",
    }


async def test_nothing_is_loaded_from_elsewhere(pages: dict[str, httpx.Response]) -> None:
    assert not re.search(r"(?:https?:)?//", pages["/docs"].text + pages["/docs/start.js"].text)
    assert not re.search(r"@import|url\((?!\"?data:)", pages["/docs/swagger-ui.css"].text)
    for path, page in pages.items():
        if path != "/openapi.json":
            policy = page.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "script-src 'self';" in policy
            assert not re.search(r"https?:|\*|unsafe", policy)
            assert page.headers["x-content-type-options"] == "nosniff"


async def test_there_is_one_page_alone() -> None:
    async with runtime_api(ScriptedService()) as http:
        for path in ("/redoc", "/docs/", "/docs/oauth2-redirect", "/docs/favicon.png", "/docs/../app.py"):
            assert (await http.get(path)).status_code == 404
        assert (await http.head("/docs")).status_code == 200
