"""Signing in and out, and what is refused before there is a page."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from sandbox_gateway.console.browsers import PLAIN_COOKIE, SECURE_COOKIE
from sandbox_gateway.console.guard import ATTEMPTS_PER_MINUTE
from sandbox_gateway.console.sessions import IDLE_SECONDS, RENEWAL_SECONDS
from unit.sandbox_gateway.console.support import FROM_A_PAGE, ORIGIN, Town, browser, form_token, sign_in


@pytest.fixture
async def http(town: Town) -> AsyncIterator[httpx.AsyncClient]:
    async with browser(town.console().app) as client:
        yield client


async def test_a_key_opens_the_console_and_is_nowhere_in_it(http: httpx.AsyncClient) -> None:
    root = await http.get("/console")
    assert (root.status_code, root.headers["location"]) == (303, "/console/sign-in")
    form = await http.get("/console/sign-in")
    assert form.status_code == 200
    answer = await sign_in(http)
    assert (answer.status_code, answer.headers["location"]) == (303, "/console")
    page = await http.get("/console/sandboxes")
    assert page.status_code == 200
    assert "alice" in page.text
    for response in (root, form, answer, page):
        assert "key-of-alice" not in response.text + str(response.headers)
        assert response.headers["cache-control"] == "no-store"
        assert response.headers["x-content-type-options"] == "nosniff"
        policy = response.headers["content-security-policy"]
        assert policy.startswith("default-src 'none';")
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
    assert (await http.get("/console/sign-in")).headers["location"] == "/console/sandboxes"


async def test_the_cookie_is_for_this_host_and_no_script(http: httpx.AsyncClient, town: Town) -> None:
    plain = (await sign_in(http)).headers["set-cookie"]
    assert plain.startswith(f"{PLAIN_COOKIE}=")
    assert plain.endswith("; Path=/; HttpOnly; SameSite=Strict")
    async with browser(town.console().app, "https://console.test") as other:
        other.headers["X-Forwarded-Proto"] = "https"
        secure = (await sign_in(other)).headers["set-cookie"]
        assert secure.startswith(f"{SECURE_COOKIE}=")
        assert secure.endswith("; Path=/; HttpOnly; SameSite=Strict; Secure")
        assert (await other.get("/console/sandboxes")).status_code == 200


@pytest.mark.parametrize("key", ["", "key-of-nobody", "key-of-alice-too", "é", "x" * 1024])
async def test_a_wrong_key_is_refused_without_a_cookie(http: httpx.AsyncClient, key: str) -> None:
    answer = await sign_in(http, key)
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers
    assert "not a known API key" in answer.text
    assert not key or key not in answer.text


async def test_attempts_are_limited_for_each_address(http: httpx.AsyncClient) -> None:
    answers = [(await sign_in(http, "wrong")).status_code for _ in range(ATTEMPTS_PER_MINUTE + 1)]
    assert answers == [403] * ATTEMPTS_PER_MINUTE + [429]
    refused = await sign_in(http)
    assert refused.status_code == 429
    assert 0 < int(refused.headers["retry-after"]) <= 60
    assert "Try again in" in refused.text
    http.headers["X-Forwarded-For"] = "192.0.2.8"
    assert (await sign_in(http)).status_code == 303


async def test_addresses_of_one_ipv6_network_count_as_one(http: httpx.AsyncClient) -> None:
    for number in range(ATTEMPTS_PER_MINUTE):
        http.headers["X-Forwarded-For"] = f"2001:db8:1:2::{number:x}"
        assert (await sign_in(http, "wrong")).status_code == 403
    http.headers["X-Forwarded-For"] = "2001:db8:1:2:ffff::1"
    assert (await sign_in(http)).status_code == 429
    http.headers["X-Forwarded-For"] = "2001:db8:1:3::1"
    assert (await sign_in(http)).status_code == 303


@pytest.mark.parametrize(
    ("next_", "location"),
    [
        ("/console/sandboxes?state=error", "/console/sandboxes?state=error"),
        ("https://evil.example/", "/console"),
        ("//evil.example/console/", "/console"),
        ("/consolex", "/console"),
        ("/console/\r\nSet-Cookie: a=b", "/console"),
        ("/console\\@evil.example", "/console"),
        ("", "/console"),
    ],
)
async def test_a_sign_in_leads_to_pages_of_the_console_alone(
    http: httpx.AsyncClient, next_: str, location: str
) -> None:
    assert (await sign_in(http, next=next_)).headers["location"] == location


async def test_a_page_asks_for_the_key_and_comes_back(http: httpx.AsyncClient) -> None:
    page = await http.get("/console/sandboxes?state=error")
    assert page.status_code == 401
    assert 'name="next" value="/console/sandboxes?state=error"' in page.text


@pytest.mark.parametrize("headers", [{}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "https://evil.example"}])
async def test_other_sites_neither_sign_in_nor_out(http: httpx.AsyncClient, headers: dict[str, str]) -> None:
    answer = await http.post("/console/sign-in", data={"key": "key-of-alice"}, headers=headers)
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers
    await sign_in(http)
    token = form_token(await http.get("/console/sandboxes"))
    assert (await http.post("/console/sign-out", data={"token": token}, headers=headers)).status_code == 403
    assert (await http.get("/console/sandboxes")).status_code == 200


async def test_a_form_needs_the_token_of_its_session(http: httpx.AsyncClient, town: Town) -> None:
    await sign_in(http)
    async with browser(town.console().app) as other:
        await sign_in(other)
        token = form_token(await other.get("/console/sandboxes"))
    for wrong in ({}, {"token": ""}, {"token": token}):
        answer = await http.post("/console/sign-out", data=wrong, headers=FROM_A_PAGE)
        assert answer.status_code == 403
        assert "earlier session" in answer.text
    token = form_token(await http.get("/console/sandboxes"))
    answer = await http.post("/console/sign-out", data={"token": token}, headers=FROM_A_PAGE)
    assert (answer.status_code, answer.headers["location"]) == (303, "/console/sign-in")
    assert (await http.get("/console/sandboxes")).status_code == 401


async def test_a_session_ends_with_its_key_and_without_use(http: httpx.AsyncClient, town: Town) -> None:
    await sign_in(http)
    town.clock.advance(RENEWAL_SECONDS)
    assert "set-cookie" in (await http.get("/console/sandboxes")).headers
    assert "set-cookie" not in (await http.get("/console/sandboxes")).headers
    town.clock.advance(IDLE_SECONDS - 1)
    assert (await http.get("/console/sandboxes")).status_code == 200
    alice = town.ring.keys.pop("alice-1")
    assert (await http.get("/console/sandboxes")).status_code == 401
    town.ring.keys["alice-1"] = alice
    town.clock.advance(IDLE_SECONDS)
    assert (await http.get("/console/sandboxes")).status_code == 401


async def test_large_and_odd_forms_are_refused(http: httpx.AsyncClient) -> None:
    for body, status in ((b"key=" + b"x" * 5000, 413), (b"&" * 4000, 403), (b"key=%ff%00", 403), (b"\xff\xfe", 403)):
        answer = await http.post("/console/sign-in", content=body, headers=FROM_A_PAGE)
        assert answer.status_code == status, body[:10]


async def test_unknown_pages_and_methods_are_pages_too(http: httpx.AsyncClient) -> None:
    assert (await http.get("/console/no-such")).status_code == 401
    await sign_in(http)
    for path in ("/console/no-such", "/console/sandboxes/", "/console//", "/console/static/../app.py"):
        page = await http.get(path)
        assert page.status_code == 404, path
        assert "no such page" in page.text
    for path in ("app.py", "..%2fapp.py", "%2e%2e/app.py", ""):
        assert (await http.get(f"/console/static/{path}")).status_code == 404
    put = await http.put("/console/sandboxes", headers=FROM_A_PAGE)
    assert put.status_code == 403
    assert "content-security-policy" in put.headers


async def test_a_key_may_only_ask_so_often(town: Town) -> None:
    async with browser(town.console(requests_per_minute=3).app, ORIGIN) as http:
        await sign_in(http)
        assert [(await http.get("/console/sandboxes")).status_code for _ in range(4)] == [200, 200, 200, 429]
        assert (await http.get("/console/static/console.css")).status_code == 200


async def test_everything_that_the_pages_name_is_there(http: httpx.AsyncClient) -> None:
    await sign_in(http)
    names = ("console.css", "console.js", "icon.svg")
    pages = await asyncio.gather(*(http.get(f"/console/static/{name}") for name in names))
    assert [page.headers["content-type"].partition(";")[0] for page in pages] == [
        "text/css",
        "text/javascript",
        "image/svg+xml",
    ]
    assert all(page.headers["cache-control"] == "no-cache" for page in pages)
