"""Headless Chromium, driven by its DevTools protocol. It reaches one address and nothing else."""

import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from websockets.sync.client import ClientConnection, connect

from cluster.support import eventually
from local_cluster.packages import install
from local_cluster.progress import Progress

_FLAGS = [
    "--headless=new",
    "--no-sandbox",  # root cannot use it
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-default-browser-check",
    "--no-first-run",
    "--no-proxy-server",
    "--remote-debugging-port=0",
]


class Page:
    """One tab."""

    def __init__(self, devtools: ClientConnection) -> None:
        self._devtools = devtools
        self._last = 0

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression; None while the page cannot tell, since it is just being loaded."""
        # While one page gives way to the next, the answer is an error.
        answer = self._call("Runtime.evaluate", expression=expression, returnByValue=True)
        return answer.get("result", {}).get("result", {}).get("value")

    def text(self, selector: str) -> str:
        """What an element shows; "" while it is not there."""
        return self.evaluate(f"document.querySelector({json.dumps(selector)})?.textContent") or ""

    def _call(self, method: str, **parameters: object) -> dict[str, Any]:
        self._last += 1
        self._devtools.send(json.dumps({"id": self._last, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._devtools.recv(timeout=30))
            if message.get("id") == self._last:
                return message


class Browser:
    """A running Chromium with an empty profile."""

    def __init__(self, devtools: str) -> None:
        self._devtools = devtools

    @contextmanager
    def page(self, url: str) -> Generator[Page]:
        """A tab with this address."""
        opening = urllib.request.Request(f"http://{self._devtools}/json/new?{quote(url, safe='')}", method="PUT")
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(opening, timeout=30) as answer:
            target = json.load(answer)
        with connect(target["webSocketDebuggerUrl"], max_size=None, proxy=None) as devtools:
            yield Page(devtools)


@contextmanager
def browser(directory: Path, domain: str, address: str, progress: Progress) -> Generator[Browser]:
    """Chromium, for which every host below `domain` is at `address`, and no other exists. Installs it if need be."""
    if shutil.which("chromium") is None:
        install(["chromium"], directory / "apt.log", progress)
    profile, log = directory / "profile", directory / "chromium.log"
    rules = f"MAP *.{domain} {address}, MAP * ~NOTFOUND, EXCLUDE {address}, EXCLUDE 127.0.0.1"
    command = ["chromium", *_FLAGS, f"--user-data-dir={profile}", f"--host-resolver-rules={rules}", "about:blank"]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        port = profile / "DevToolsActivePort"
        eventually(
            lambda: (process.poll(), port.exists() and port.read_text().split("\n")),
            lambda seen: seen[0] is not None or bool(seen[1] and seen[1][0]),
        )
        assert process.poll() is None, log.read_text(errors="replace")
        yield Browser(f"127.0.0.1:{port.read_text().splitlines()[0]}")
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        _remove(profile)


def _remove(profile: Path) -> None:
    """Chromium's helpers may write for a moment after its end."""
    for _ in range(20):
        shutil.rmtree(profile, ignore_errors=True)
        if not profile.exists():
            return
        time.sleep(0.1)
