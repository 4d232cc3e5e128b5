"""The console in a real browser: what a person does there, and what the browser keeps of the key.

CONSOLE_PICTURES=docs takes the pictures of the documentation.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, Page, expect

from cluster.browser import PATIENCE_MILLISECONDS, opened
from cluster.runtime import Runtime
from cluster.site import Site
from demo.targets import Images

PICTURES = os.environ.get("CONSOLE_PICTURES")
expect.set_options(timeout=PATIENCE_MILLISECONDS)


@pytest.fixture(scope="module")
def failing(persistent: Site) -> Iterator[Runtime]:
    """One whose image does not exist."""
    with Runtime(persistent, "localhost/no/such-image:1", session_id="update-dependencies") as runtime:
        yield runtime


@pytest.fixture(scope="module")
def runtime(persistent: Site, images: Images, failing: Runtime) -> Iterator[Runtime]:
    """One that is ready, beside the failing one."""
    with Runtime(persistent, images.agent_server, session_id="fix-the-login") as runtime:
        runtime.session_id = "fix-the-login"
        runtime.await_ready()
        yield runtime


@pytest.fixture(scope="module")
def page(chromium: BrowserContext, runtime: Runtime) -> Iterator[Page]:
    """A tab in which somebody has signed in."""
    with opened(chromium, f"{runtime.site.url}/console") as page:
        _check(page, "sign-in")
        page.get_by_label("API key").fill(runtime.site.release.api_key())
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("heading", name="Sandboxes", level=1)).to_be_visible()
        yield page


def _check(page: Page, name: str) -> None:
    """Nothing that keeps people out, as far as axe sees it; and the picture."""
    axe: Any = Axe()  # it has no types
    found = axe.run(page)
    violations = [one["id"] for one in found.response["violations"] if one["impact"] in {"serious", "critical"}]
    assert not violations, found.generate_report()
    if PICTURES and name in {"sandboxes", "why"}:
        page.set_viewport_size({"width": 1280, "height": 560})
        page.screenshot(path=Path(PICTURES, f"console-{name}.png"))


def _open(page: Page, runtime: Runtime) -> None:
    page.goto(f"{runtime.site.url}/console/sandboxes/{runtime.id}")


def test_the_table_has_the_sandbox(page: Page, runtime: Runtime) -> None:
    page.goto(f"{runtime.site.url}/console")
    row = page.locator(f"tr[data-id={runtime.id}]")
    expect(row).to_contain_text("running")
    _check(page, "sandboxes")
    page.get_by_label("Search").fill("no sandbox has this name")
    page.get_by_label("Search").press("Enter")
    expect(page.get_by_text("No sandbox fits these filters.")).to_be_visible()
    page.get_by_role("link", name="Reset").click()
    row.get_by_role("link").click()
    expect(page).to_have_url(f"{runtime.site.url}/console/sandboxes/{runtime.id}")


def test_a_sandbox_has_its_cause_its_life_and_its_log(page: Page, runtime: Runtime) -> None:
    _open(page, runtime)
    expect(page.get_by_role("heading", name="Why it is as it is")).to_be_visible()
    expect(page.locator("section", has=page.get_by_role("heading", name="Timeline"))).to_contain_text("booting")
    page.get_by_role("button", name="Show").click()
    log = page.get_by_role("region", name="Lines of the log")
    expect(log).to_be_visible()
    expect(log).not_to_be_empty()
    assert runtime.identity[2] not in page.content()
    _check(page, "sandbox")


def test_one_that_does_not_start_has_its_cause_and_remedy(page: Page, failing: Runtime) -> None:
    _open(page, failing)
    expect(page.locator("p.cause")).to_contain_text("localhost/no/such-image:1")
    expect(page.get_by_text("What you can do:")).to_be_visible()
    _check(page, "why")


@pytest.mark.parametrize("name", ["Pools", "Usage"])
def test_other_pages(page: Page, runtime: Runtime, name: str) -> None:
    page.get_by_role("navigation", name="Console").get_by_role("link", name=name).click()
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    _check(page, name.lower())


def test_pause_and_resume_show_without_a_reload(page: Page, chromium: BrowserContext, runtime: Runtime) -> None:
    with opened(chromium, f"{runtime.site.url}/console") as table:
        row = table.locator(f"tr[data-id={runtime.id}]")
        _open(page, runtime)
        page.get_by_role("link", name="Pause…").click()
        page.get_by_role("button", name="Pause").click()
        expect(row).to_contain_text("Suspended")
        expect(page.locator("p.status")).to_contain_text("paused Suspended")
        page.get_by_role("button", name="Resume").click()
        expect(row).to_contain_text("Ready")
        expect(page.locator("p.status")).to_contain_text("running")


def test_the_browser_keeps_a_cookie_and_no_key(page: Page, chromium: BrowserContext, runtime: Runtime) -> None:
    [cookie] = chromium.cookies(runtime.site.url)
    assert (cookie.get("httpOnly"), cookie.get("sameSite")) == (True, "Strict")
    stored = "JSON.stringify([localStorage, sessionStorage, document.cookie, history.state])"
    seen = page.evaluate(stored) + page.url + page.content() + str(cookie)
    assert runtime.site.release.api_key() not in seen
    assert page.evaluate("performance.getEntriesByType('resource').every(it => it.name.startsWith(origin))")


def test_who_signs_out_is_out(chromium: BrowserContext, page: Page, runtime: Runtime) -> None:
    with opened(chromium, f"{runtime.site.url}/console") as other:
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
        other.reload()
        expect(other.get_by_role("heading", name="Sign in")).to_be_visible()
