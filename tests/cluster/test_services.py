"""What a sandbox serves, in a real browser outside of the cluster: a page that an agent could have written."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import BrowserContext, Page

from cluster.browser import opened
from cluster.runtime import Runtime
from cluster.site import Site
from cluster.support import eventually
from demo.targets import Images
from demo.workloads import SDK_PYTHON
from local_cluster.dns import SANDBOX_DOMAIN

PROGRAM = Path(__file__).with_name("served_page.py")


@pytest.fixture(scope="module")
def runtime(host_mode: Site, images: Images) -> Iterator[Runtime]:
    """A sandbox without anything at its service ports."""
    with Runtime(host_mode, images.agent_server) as runtime:
        runtime.await_ready()
        yield runtime


def ask(runtime: Runtime, label: str, **headers: str) -> httpx.Response:
    """GET / of the host with this first label, from outside of the cluster."""
    host = f"{label}.{SANDBOX_DOMAIN}"
    return httpx.get(f"{runtime.site.url}/", headers={"Host": host, **headers}, trust_env=False, timeout=120)


def shown(page: Page) -> tuple[str, str, str]:
    """What the page tells of its cookie, its fetch and its WebSocket, once it is done with all of them."""
    page.wait_for_function("document.title.startsWith('closed')")
    assert page.title() == "closed 4321", "the browser's own close code, sent back by the page"
    cookie, path, echo = (page.text_content(which) or "" for which in ("#cookie", "#path", "#echo"))
    return cookie, path, echo


def test_a_page_from_the_sandbox_in_a_browser(runtime: Runtime, chromium: BrowserContext) -> None:
    work_hosts = {port: url for url, port in runtime.look()["work_hosts"].items()}
    assert set(work_hosts) == {12000, 12001}
    assert runtime.run("echo $WORKER_1 $WORKER_2") == "12000 12001\n"
    uploaded = runtime.agent.post(
        "/api/file/upload", params={"path": "/workspace/page.py"}, files={"file": PROGRAM.read_bytes()}
    )
    assert uploaded.status_code == 200, uploaded.text
    for port in work_hosts:
        runtime.run(f"nohup {SDK_PYTHON} page.py {port} {SANDBOX_DOMAIN} > {port}.log 2>&1 < /dev/null &")
        eventually(
            lambda label=f"work-{port - 11999}-{runtime.id}": ask(runtime, label), lambda answer: answer.is_redirect
        )

    with opened(chromium, f"{work_hosts[12000]}/") as page:
        cookie, path, echo = shown(page)
        assert page.url == f"{work_hosts[12000]}/page", "and not the address that it knows"
        assert page.evaluate("document.cookie") == "", "it is HttpOnly"
    assert (cookie, path, echo) == ("visit=first", "POST /start", "hello from /page, visit=first")

    # The cookie was meant for the whole domain, and for its neighbour, too.
    with opened(chromium, f"{work_hosts[12001]}/page") as page:
        assert shown(page)[0] == "none"


def test_vscode_is_not_in_the_image_and_the_browser_is_told_what_to_do(
    runtime: Runtime, chromium: BrowserContext
) -> None:
    url = runtime.identity[1].replace("://", "://vscode-")
    with opened(chromium, f"{url}/?tkn=any") as page:
        body = page.inner_text("body")
    assert "no VSCode on port 60001" in body
    assert "OH_ENABLE_VSCODE=1" in body


@pytest.mark.parametrize(("label", "words"), [("8080-{}", "work-1-"), ("work-3-{}", "work-1-"), ("work-1-no", "no")])
def test_ports_that_are_not_declared_are_not_found(runtime: Runtime, label: str, words: str) -> None:
    answer = ask(runtime, label.format(runtime.id))
    assert answer.status_code == 404
    assert words in answer.json()["detail"]


def test_at_its_own_host_the_agent_server_refuses_every_key_but_its_own(runtime: Runtime, host_mode: Site) -> None:
    key = runtime.identity[2]
    others = f"{key[:-1]}{'A' if key[-1] != 'A' else 'Q'}", host_mode.release.api_key()
    url = f"{runtime.site.url}/api/conversations/count"

    def status(headers: dict[str, str], **params: str) -> int:
        host = {"Host": f"{runtime.id}.{SANDBOX_DOMAIN}"}
        return httpx.get(url, headers={**host, **headers}, params=params, trust_env=False, timeout=120).status_code

    for other in others:
        assert status({"X-Session-API-Key": other}) == 401
        assert status({"Authorization": f"Bearer {other}"}) == 401
        assert status({"Cookie": f"oh_workspace_session_key={other}"}) == 401
        assert status({}, session_api_key=other) == 401
    assert status({"X-Session-API-Key": key}) == 200


def test_only_who_has_the_key_wakes_the_sandbox_by_a_service(runtime: Runtime) -> None:
    key = runtime.identity[2]
    runtime.make_idle()
    for label in (f"work-1-{runtime.id}", f"vscode-{runtime.id}"):
        asleep = ask(runtime, label, Cookie="vscode-tkn=wrong")
        assert asleep.status_code == 503
        assert "idle" in asleep.json()["detail"]
    assert runtime.object()["spec"]["suspend"]
    woken = ask(runtime, f"vscode-{runtime.id}", Cookie=f"vscode-tkn={key}")
    if "no VSCode" not in woken.json()["detail"]:  # a slow machine may take longer than a request is held
        assert "retry-after" in woken.headers
        runtime.await_ready()
        woken = ask(runtime, f"vscode-{runtime.id}", Cookie=f"vscode-tkn={key}")
    assert (woken.status_code, "no VSCode" in woken.json()["detail"]) == (503, True)
    assert not runtime.object()["spec"].get("suspend")
