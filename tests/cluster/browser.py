"""Debian's Chromium, driven by Playwright. It reaches the cluster's node and nothing else."""

import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import BrowserContext, Page, sync_playwright

from cluster.support import PATIENCE
from local_cluster.packages import install
from local_cluster.progress import Progress

PATIENCE_MILLISECONDS = 1000 * PATIENCE


@contextmanager
def browser(directory: Path, domain: str, address: str, progress: Progress) -> Generator[BrowserContext]:
    """An empty profile of Chromium, for which hosts below `domain` are at `address`, and no others exist.

    Installs Chromium if need be.
    """
    if shutil.which("chromium") is None:
        install(["chromium"], directory / "apt.log", progress)
    rules = f"MAP *.{domain} {address}, MAP * ~NOTFOUND, EXCLUDE {address}, EXCLUDE 127.0.0.1"
    flags = ["--no-proxy-server", "--disable-dev-shm-usage", f"--host-resolver-rules={rules}"]
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=flags, timeout=PATIENCE_MILLISECONDS
        )
        try:
            profile = running.new_context()
            profile.set_default_timeout(PATIENCE_MILLISECONDS)
            yield profile
        finally:
            running.close()


@contextmanager
def opened(profile: BrowserContext, url: str) -> Generator[Page]:
    """A tab with this address."""
    page = profile.new_page()
    try:
        page.goto(url)
        yield page
    finally:
        page.close()
