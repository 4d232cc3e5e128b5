"""The page of one sandbox, and what a person can do there."""

import html
import re

import httpx
import pytest

from sandbox_common.kube import ApiError
from sandbox_common.reasons import Reason
from sandbox_common.sandboxes.view import View
from sandbox_crds.models import Sandbox
from sandbox_gateway.console.app import LOG_LINES
from sandbox_gateway.console.rendering import duration
from sandbox_gateway.contract.errors import NoSandboxError, WouldLoseWorkspaceError
from sandbox_gateway.contract.responses import HistoryResponse, HistoryStep
from sandbox_gateway.sandboxes.logs import LogQuery
from unit.sandbox_gateway.console.support import FROM_A_PAGE, Town, browser, form_token, sign_in
from unit.sandbox_gateway.support import sandbox, status

PAGE = "/console/sandboxes/sb-a"


async def do(http: httpx.AsyncClient, action: str) -> httpx.Response:
    token = form_token(await http.get(PAGE))
    return await http.post(f"{PAGE}/{action}", data={"token": token}, headers=FROM_A_PAGE)


async def test_it_says_why_and_what_to_do(http: httpx.AsyncClient, town: Town) -> None:
    town.service.found = sandbox(status=status(Reason.IMAGE_NOT_FOUND, "the image is not there: <b>no</b>"))
    town.service.view = View("error", "failed", Reason.IMAGE_NOT_FOUND, "the image is not there: <b>no</b>")
    page = await http.get(PAGE)
    assert page.status_code == 200
    assert "ImageNotFound" in page.text
    assert "the image is not there: &lt;b&gt;no&lt;/b&gt;" in page.text
    assert "What you can do:" in page.text
    assert "Start again" in page.text


@pytest.mark.parametrize(
    ("view", "offered"),
    [
        (View("running", "ready", Reason.READY, ""), ["pause", "stop"]),
        (View("starting", "pending", Reason.STARTING, ""), ["pause", "stop"]),
        (View("paused", "not found", Reason.IDLE, "", suspended=True), ["resume", "stop"]),
        (View("error", "failed", Reason.OOM_KILLED, ""), ["resume", "pause", "stop"]),
    ],
)
async def test_it_offers_what_makes_sense(http: httpx.AsyncClient, town: Town, view: View, offered: list[str]) -> None:
    town.service.view = view
    assert re.findall(r'id="do-(\w+)"', (await http.get(PAGE)).text) == offered


async def test_harm_needs_a_second_look(http: httpx.AsyncClient, town: Town) -> None:
    asked = (await http.get(f"{PAGE}?confirm=stop")).text
    assert "Stop this sandbox for good?" in asked
    assert f'action="{PAGE}/stop"' in asked
    assert f'action="{PAGE}/stop"' not in (await http.get(PAGE)).text
    for nonsense in ("", "resume", "<script>", "delete"):
        assert 'id="ask"' not in (await http.get(PAGE, params={"confirm": nonsense})).text
    town.service.asked.clear()
    assert (await http.get(f"{PAGE}/stop")).status_code == 405
    assert town.service.asked == []


@pytest.mark.parametrize(("action", "location"), [("pause", PAGE), ("resume", PAGE), ("stop", "/console/sandboxes")])
async def test_a_button_does_it(http: httpx.AsyncClient, town: Town, action: str, location: str) -> None:
    done = await do(http, action)
    assert (done.status_code, done.headers["location"]) == (303, location)
    assert town.service.asked == ["sb-a", "sb-a"]


@pytest.mark.parametrize("action", ["pause", "resume", "stop"])
async def test_no_other_page_does_it(http: httpx.AsyncClient, town: Town, action: str) -> None:
    token = form_token(await http.get(PAGE))
    town.service.asked.clear()
    for headers, fields in (({}, {"token": token}), (FROM_A_PAGE, {}), (FROM_A_PAGE, {"token": token[:-1] + "x"})):
        refused = await http.post(f"{PAGE}/{action}", data=fields, headers=headers)
        assert refused.status_code == 403
    assert town.service.asked == []


async def test_refusals_are_pages_with_their_remedy(http: httpx.AsyncClient, town: Town) -> None:
    token = form_token(await http.get(PAGE))
    for error, code, words in (
        (NoSandboxError(), 404, "There is no such sandbox"),
        (WouldLoseWorkspaceError("default"), 409, "would lose /workspace"),
        (ApiError(500, "<i>", "<b>broken</b>"), 503, "overloaded or unreachable"),
        (TimeoutError(), 503, "overloaded or unreachable"),
    ):
        town.service.error = error
        answer = await http.post(f"{PAGE}/pause", data={"token": token}, headers=FROM_A_PAGE)
        assert answer.status_code == code
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert "content-security-policy" in answer.headers
        assert words in html.unescape(answer.text)
        assert "<b>broken" not in answer.text
        assert ("retry-after" in answer.headers) is (code == 503)


@pytest.mark.parametrize("session", ["a-session", 'a"b', "a'b\\", "<script>", "ünï"])
async def test_the_snippet_is_python_that_names_the_session(http: httpx.AsyncClient, town: Town, session: str) -> None:
    town.service.found = sandbox(spec={"sessionID": session}, status=status(Reason.READY))
    page = (await http.get(PAGE)).text
    code = html.unescape(page.partition("<code>import os")[2].partition("</code>")[0])
    compile("import os" + code, "snippet", "exec")
    found = re.search(r"session_id=(.*),\n", code)
    assert found is not None
    assert eval(found[1]) == session  # noqa: S307
    assert 'os.environ["RUNTIME_API_KEY"]' in code
    assert "ohs_" not in page


async def test_hosts_for_browsers_are_links_without_keys(town: Town) -> None:
    async with browser(town.console(base_domain="box.test").app) as http:
        await sign_in(http)
        page = (await http.get(PAGE)).text
    assert 'href="http://vscode-sb-a.box.test"' in page
    assert 'href="http://work-1-sb-a.box.test"' in page
    assert "ohs_" not in page
    assert "tkn" not in page


async def test_the_log_is_text_whatever_is_in_it(http: httpx.AsyncClient, town: Town) -> None:
    town.log = b"<script>alert(1)</script>\n"
    page = await http.get(f"{PAGE}/log?follow=on&since=300&timestamps=on")
    assert (page.status_code, page.content) == (200, town.log)
    assert page.headers["content-type"].startswith("text/plain")
    assert page.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert town.log_queries == [LogQuery(LOG_LINES, 300, follow=True, timestamps=True)]
    await http.get(f"{PAGE}/log?since=")
    assert town.log_queries[1] == LogQuery(LOG_LINES)


@pytest.mark.parametrize("since", ["-1", "0", "soon", "9" * 400, "<b>"])
async def test_a_log_since_nonsense_is_refused(http: httpx.AsyncClient, since: str) -> None:
    page = await http.get(f"{PAGE}/log", params={"since": since})
    assert page.status_code == 422
    assert "neither a number of seconds" in page.text


async def test_the_timeline_has_each_step_and_how_long_it_took(
    http: httpx.AsyncClient, town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def of(_: Sandbox) -> HistoryResponse:
        first = HistoryStep(step="asked", time="2026-01-02T03:04:00Z", seconds=4.25, source="sandbox", detail="<b>")
        then = HistoryStep(step="ready", time="2026-01-02T03:04:04Z", seconds=7500, source="condition", detail="")
        return HistoryResponse(runtime_id="sb-a", steps=[first, then], incomplete="What Events say is missing.")

    monkeypatch.setattr(town.histories, "of", of)
    page = (await http.get(PAGE)).text
    steps = re.findall(r'"source">(\w+)</strong>.*?"duration">([^<]+)<', page)
    assert steps == [("asked", "4.2 s"), ("ready", "2 h 5 min")]
    assert "&lt;b&gt;" in page
    assert "What Events say is missing." in page


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0.0 s"), (59.9, "59 s"), (60, "1 min"), (3600, "1 h"), (3601, "1 h 1 s"), (90061, "1 d 1 h")],
)
def test_durations_have_two_units(seconds: float, words: str) -> None:
    assert duration(seconds) == words
