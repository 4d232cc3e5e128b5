"""The image's target `full`: a person opens VSCode in a browser, and an agent reads a page with its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.browser import browser, opened
from cluster.runtime import Runtime
from cluster.scripts import call, say, script
from cluster.site import Site
from cluster.support import eventually
from demo.workloads import SDK_PYTHON, model_url
from images.build import build
from images.recipes import ImageName
from local_cluster.cluster import Cluster
from local_cluster.dns import SANDBOX_DOMAIN
from local_cluster.network import NODE_ADDRESS
from local_cluster.paths import State
from local_cluster.progress import Progress

ENVIRONMENT = {"OH_ENABLE_VSCODE": "1"}
PAGE = "<title>Tides</title><p id=tide></p><script>tide.textContent = `High water at ${6 * 7}`</script>"
"""What stands there only once a browser has run it."""
VSCODE_SECONDS = 120
"""Several times what its first page takes on a busy machine."""


@pytest.fixture(scope="module")
def runtime(host_mode: Site, progress: Progress) -> Iterator[Runtime]:
    """A sandbox of this image, ready, with a page in its workspace and served at port 12000."""
    image = build(ImageName.AGENT_SERVER_FULL, progress=progress)
    assert image.archive
    Cluster(State.from_environment()).load_image(image.archive)
    with Runtime(host_mode, image.reference, environment=ENVIRONMENT) as runtime:
        runtime.await_ready()
        runtime.run(f"printf '%s' '{PAGE}' > index.html")
        runtime.run(f"nohup {SDK_PYTHON} -m http.server 12000 > server.log 2>&1 < /dev/null &")
        yield runtime


def test_the_link_to_vscode_opens_the_workspace(runtime: Runtime, tmp_path: Path, progress: Progress) -> None:
    outside = runtime.identity[1].replace("://", "://vscode-")
    link = runtime.agent.get("/api/vscode/url", params={"base_url": outside, "workspace_dir": "/workspace"})
    assert link.status_code == 200, link.text
    url = link.json()["url"]
    with browser(tmp_path, SANDBOX_DOMAIN, NODE_ADDRESS, progress) as chromium:
        with opened(chromium, url) as page:
            files = page.locator(".explorer-folders-view .monaco-list-row")
            files.filter(has_text="index.html").wait_for(timeout=1000 * VSCODE_SECONDS)
        with opened(chromium, url.replace(runtime.identity[2], "wrong")) as page:
            assert page.inner_text("body") == "Forbidden."


def test_the_agent_reads_a_page_with_the_browser_tools(runtime: Runtime) -> None:
    open_page = call("browser_navigate", url="http://127.0.0.1:12000/")
    task = script(open_page, call("browser_get_content"), say("Read."))
    conversation = runtime.converse(task, model_url(runtime.site.release.namespace), ["browser_tool_set"])
    eventually(lambda: runtime.conversation_status(conversation), lambda status: status == "finished", 180)
    assert any("High water at 42" in text for text in runtime.observations(conversation))
