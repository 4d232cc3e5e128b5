"""The table of sandboxes, and its updates."""

import asyncio
import html
import re
from html.parser import HTMLParser
from typing import Any

import httpx
import orjson
import pytest
from starlette.types import Message

from sandbox_common.reasons import Reason
from sandbox_common.redaction import redacted
from sandbox_gateway.console import live
from sandbox_gateway.console.app import Console
from sandbox_gateway.console.browsers import PLAIN_COOKIE
from sandbox_gateway.console.paths import AUDITED, NOT_AUDITED
from unit.sandbox_gateway.console.support import Town
from unit.sandbox_gateway.support import sandbox_object, status

HOSTILE = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror='alert(1)'>",
    "' autofocus onfocus=alert(1) x='",
    "{{ 7 * 7 }}{% raw %}",
    "\u202egnp.exe \u05e9\u05dc\u05d5\u05dd",
    "a\x00b\x1b[31mc",
    "x" * 1024,
    "&lt;b&gt;",
]


def put(town: Town, name: str, version: int, reason: Reason = Reason.READY, **spec: Any) -> None:
    """A Sandbox in the cache."""
    fields: dict[str, Any] = {"spec": spec, "status": status(reason)}
    town.cache.remember(sandbox_object(name, version=version, uid=f"uid-{name}", **fields))


def test_each_page_is_audited_or_not(console: Console) -> None:
    assert {getattr(route, "path", "") for route in console.app.routes} == set(AUDITED) | NOT_AUDITED
    assert not set(AUDITED) & NOT_AUDITED


async def test_the_table_has_the_owners_sandboxes(http: httpx.AsyncClient, town: Town) -> None:
    put(town, "sb-hers", 1, Reason.OOM_KILLED, sessionID="her-session", className="gpu")
    put(town, "sb-his", 2, owner="bob", sessionID="his-session")
    page = await http.get("/console/sandboxes")
    assert "her-session" in page.text
    assert "OOMKilled" in page.text
    assert "1 sandbox" in page.text
    assert "sb-his" not in page.text
    assert "his-session" not in page.text
    # Nor by any filter, which are for administrators.
    assert "sb-his" not in (await http.get("/console/sandboxes?owner=bob&q=his")).text


class Markup(HTMLParser):
    """The elements of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep it."""
        self.found.append((tag, dict(attrs)))


@pytest.mark.parametrize("name", HOSTILE)
async def test_names_are_text_and_nothing_else(http: httpx.AsyncClient, town: Town, name: str) -> None:
    put(town, "sb-a", 1, sessionID=name, image=name)
    for query in ({}, {"q": name}, {"q": "agent"}, {"class": name, "pool": name, "sort": name, "page": name}):
        page = (await http.get("/console/sandboxes", params=query)).text
        assert len(page) < 20_000
        assert not re.search(r"[\x00-\x08\x0b-\x1f\u202e]", page)
        elements = Markup(page).found
        assert [where["src"] for tag, where in elements if tag == "script"] == ["/console/static/console.js"]
        assert [where["src"] for tag, where in elements if tag == "img"] == ["/console/static/icon.svg"]
        names = {name for _, where in elements for name in where}
        assert not [name for name in names if name == "style" or name.startswith("on")]
        if not query:
            shown = redacted(name)
            assert f"<bdi>{shown if len(shown) < 160 else shown[:160] + '…'}</bdi>" in html.unescape(page)


async def test_a_search_in_the_url_is_in_the_form(http: httpx.AsyncClient, town: Town) -> None:
    put(town, "sb-a", 1, sessionID="one")
    put(town, "sb-b", 2, sessionID="two")
    page = await http.get("/console/sandboxes", params={"q": 'on"e', "state": "running", "class": "no-such"})
    assert 'value="on&#34;e"' in page.text
    assert "<option selected>running</option>" in page.text
    assert 'selected value="no-such"' in page.text
    assert "No sandbox fits" in page.text
    assert "0 of 2 sandboxes" in page.text


class Stream:
    """The server-sent events of one page; read with `next`, ended with `close`."""

    def __init__(self, console: Console, http: httpx.AsyncClient, path: str) -> None:
        self.events: asyncio.Queue[bytes] = asyncio.Queue()
        self.status = 0
        self._gone = asyncio.Event()
        cookie = f"{PLAIN_COOKIE}={http.cookies[PLAIN_COOKIE]}".encode()
        path, _, query = path.partition("?")
        scope = {
            "type": "http",
            "method": "GET",
            "path": path,
            "query_string": query.encode(),
            "headers": [(b"cookie", cookie), (b"host", b"console.test")],
        }
        self._asked = False
        self.task = asyncio.create_task(console.app(scope, self._receive, self._send))

    async def _receive(self) -> Message:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b""}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            return
        for event in filter(None, message["body"].split(b"\n\n")):
            if event not in (b": ", b"retry: 1000"):
                await self.events.put(event)

    async def next(self) -> dict[str, Any]:
        """The data of the next event."""
        event = await asyncio.wait_for(self.events.get(), 10)
        assert event.startswith(b"data: "), event
        return orjson.loads(event.removeprefix(b"data: "))

    async def close(self) -> None:
        """The browser leaves the page."""
        self._gone.set()
        await asyncio.wait_for(self.task, 10)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(live, "LOOK_SECONDS", 0.05)


@pytest.mark.usefixtures("quick")
async def test_a_stream_says_what_has_changed(http: httpx.AsyncClient, town: Town, console: Console) -> None:
    put(town, "sb-a", 1, sessionID="one")
    stream = Stream(console, http, "/console/sandboxes/updates?sort=name")
    first = await stream.next()
    assert first["order"] == ["sb-a"]
    assert "one" in first["rows"]["sb-a"]
    assert first["summary"] == "1 sandbox"
    put(town, "sb-b", 2, sessionID="<b>two</b>")
    put(town, "sb-his", 3, owner="bob")
    second = await stream.next()
    assert second["order"] == ["sb-b", "sb-a"]
    assert set(second["rows"]) == {"sb-b"}
    assert "&lt;b&gt;two" in second["rows"]["sb-b"]
    put(town, "sb-a", 4, Reason.CRASH_LOOP_BACK_OFF, sessionID="one")
    third = await stream.next()
    assert set(third["rows"]) == {"sb-a"}
    gone = town.cache.get("sb-b")
    assert gone is not None
    town.cache.forget(gone)
    assert (await stream.next())["order"] == ["sb-a"]
    await stream.close()


@pytest.mark.usefixtures("quick")
async def test_a_stream_ends_with_the_session(http: httpx.AsyncClient, town: Town, console: Console) -> None:
    stream = Stream(console, http, "/console/sandboxes/updates")
    await stream.next()
    del town.ring.keys["alice-1"]
    await asyncio.wait_for(stream.task, 10)
    assert stream.events.empty()
    refused = Stream(console, http, "/console/sandboxes/updates")
    await asyncio.wait_for(refused.task, 10)
    assert refused.status == 401


async def test_streams_end_with_the_process(http: httpx.AsyncClient, town: Town, console: Console) -> None:
    stream = Stream(console, http, "/console/sandboxes/updates")
    await stream.next()
    town.streams.release()
    await asyncio.wait_for(stream.task, 10)
    assert stream.events.empty()


async def test_a_stream_is_no_use_of_the_session(http: httpx.AsyncClient, town: Town, console: Console) -> None:
    town.clock.advance(3600)
    stream = Stream(console, http, "/console/sandboxes/updates")
    await stream.next()
    await stream.close()
    assert "set-cookie" in (await http.get("/console/sandboxes")).headers
