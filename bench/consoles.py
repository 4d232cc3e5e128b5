"""What open consoles cost: `python -m bench.consoles --help`.

A real gateway has the Sandboxes of one owner in its cache. First a real Chromium opens the table with few of them and
with all. Then requests go through the data plane at fixed moments, in turn without consoles, with consoles of which
nothing changes, and with consoles while Sandboxes change.
"""

import asyncio
import json
import os
import shutil
import sys
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import aiohttp
import typer
import uvloop
from playwright.async_api import async_playwright

from bench.cpu import Cpu
from bench.crowd import side_by_side
from bench.figures import median
from bench.greedy import agents, client, http, started
from bench.plane import OWNER, Plane, plane
from bench.processes import Measured
from bench.tables import Grid, fill
from control_plane.naming import runtime_id
from local_cluster.paths import ROOT
from local_cluster.progress import Progress
from sandbox_common.kube.resources import SANDBOXES

NAMES = ("pages of the console", "open consoles")
_FEW = 5
_RATE = 50.0
_CHANGES_PER_SECOND = 10.0
_PAINT = """() => {
  const sum = (kind) => performance.getEntriesByType(kind).reduce((all, one) => all + one.encodedBodySize, 0);
  const paint = performance.getEntriesByName("first-contentful-paint")[0];
  return [paint ? paint.startTime : -1, sum("navigation") + sum("resource")];
}"""


async def add(here: Plane, numbers: Sequence[int]) -> None:
    """Sandboxes that are suspended, so that they need no pods."""

    async def one(number: int) -> None:
        session = f"session-{number}"
        spec = {"image": f"registry.example/task:{number}", "owner": OWNER, "sessionID": session, "suspend": True}
        body = {"apiVersion": SANDBOXES.api_version, "kind": SANDBOXES.kind, "spec": spec}
        await here.client.create(SANDBOXES, here.namespace, {**body, "metadata": {"name": runtime_id(OWNER, session)}})

    await side_by_side(one, numbers, at_once=16)


async def told(here: Plane) -> None:
    """Return once the operator has told that they are suspended."""
    while True:
        await asyncio.sleep(2)
        pages = here.client.pages(SANDBOXES, here.namespace)
        if all([item.get("status", {}).get("conditions") async for page in pages for item in page["items"]]):
            return


async def first_paints(url: str, api_key: str, times: int) -> list[tuple[float, float]]:
    """Milliseconds to the table's first paint, and the bytes of the page with all that it loads; by visit."""
    found: list[tuple[float, float]] = []
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=shutil.which("chromium"))
        page = await chromium.new_page()
        await page.goto(f"{url}/console")
        await page.get_by_label("API key").fill(api_key)
        await page.get_by_role("button", name="Sign in").click()
        await page.get_by_role("heading", name="Sandboxes", level=1).wait_for()
        for _ in range(times):
            # A context of its own has no cache.
            context = await chromium.new_context(storage_state=await page.context.storage_state())
            visit = await context.new_page()
            await visit.goto(f"{url}/console/sandboxes")
            await visit.wait_for_timeout(500)
            paint, size = await visit.evaluate(_PAINT)
            found.append((paint, size))
            await context.close()
        await chromium.close()
    return found


@asynccontextmanager
async def consoles(url: str, api_key: str, count: int) -> AsyncGenerator[list[int]]:
    """So many open tables. Gives the bytes that each has received."""
    received = [0] * count
    timeout = aiohttp.ClientTimeout(total=None)
    headers = {"Origin": url, "Sec-Fetch-Site": "same-origin"}
    connector = aiohttp.TCPConnector(limit=0)
    jar = aiohttp.CookieJar(unsafe=True)  # the gateway has an address, not a name
    async with aiohttp.ClientSession(connector=connector, cookie_jar=jar, timeout=timeout, trust_env=False) as session:
        async with session.post(f"{url}/console/sign-in", data={"key": api_key}, headers=headers) as response:
            response.raise_for_status()

        async def one(number: int) -> None:
            async with session.get(f"{url}/console/sandboxes/updates") as stream:
                stream.raise_for_status()
                async for data in stream.content.iter_any():
                    received[number] += len(data)

        open_ones = [asyncio.create_task(one(number)) for number in range(count)]
        while open_ones and not all(received):
            await asyncio.sleep(0.05)
            for task in open_ones:
                if task.done():
                    task.result()
        try:
            yield received
            if any(task.done() for task in open_ones):
                raise RuntimeError("the gateway has ended a console's stream")
        finally:
            for task in open_ones:
                task.cancel()
            await asyncio.gather(*open_ones, return_exceptions=True)


async def change(here: Plane, names: Sequence[str]) -> None:
    """Sandboxes of the table's first page, one after the other, until cancelled."""
    number = 0
    while True:
        began, number = time.perf_counter(), number + 1
        spec = {"spec": {"env": [{"name": "A", "value": str(number)}]}}
        await here.client.patch(SANDBOXES, here.namespace, names[number % len(names)], spec)
        await asyncio.sleep(max(0.0, 1 / _CHANGES_PER_SECOND - (time.perf_counter() - began)))


async def phase(
    here: Plane, gateway: Measured, kind: Mapping[str, Any], seconds: float, count: int, changing: Sequence[str]
) -> dict[str, float]:
    """The waits of the data plane's requests, and what the gateway uses meanwhile."""
    url = f"http://127.0.0.1:{here.gateway_port}"
    async with consoles(url, here.api_key, count) as received:
        await asyncio.sleep(2)
        changes = asyncio.create_task(change(here, changing)) if changing else None
        cpu, sent, began = Cpu({"gateway": gateway.pid}), sum(received), time.perf_counter()
        before = cpu.read()["gateway"]
        found = await client("modest", {"seconds": seconds, "kinds": {"GET": kind}})
        took = time.perf_counter() - began
        used, memory = cpu.read()["gateway"] - before, gateway.usage().rss
        got = sum(received) - sent
        if changes:
            if changes.done():
                changes.result()
            changes.cancel()
    get = found["GET"]
    return {
        "p50": get["p50"],
        "p99": get["p99"],
        "cpu": used / took,
        "memory": memory,
        "sent": got / took / max(1, count),
    }


async def _measure(sandboxes: int, count: int, rounds: int, seconds: float) -> tuple[Grid, Grid]:
    progress = Progress()
    first, *others = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, others or {first})
    pages: list[list[str]] = []
    found: dict[str, list[dict[str, float]]] = {}
    async with plane(progress) as here, agents() as port:
        operator, gateway = await here.operator(), await here.gateway()
        try:
            await asyncio.gather(operator.ready(), gateway.ready())
            for task in Path(f"/proc/{gateway.pid}/task").iterdir():  # noqa: ASYNC240 - nothing is measured yet
                os.sched_setaffinity(int(task.name), {first})
            url = f"http://127.0.0.1:{here.gateway_port}"
            [key] = await started(url, here.api_key, port, ["asked"])
            done = 0
            for size in (_FEW, sandboxes):
                with progress.step(f"{size} sandboxes"):
                    await add(here, range(done, size))
                    done = size
                    await told(here)
                visits = await first_paints(url, here.api_key, 10)
                paints = sorted(paint for paint, _ in visits)
                weight = median([size for _, size in visits])
                pages.append(
                    [f"{size:,}", f"{median(paints):.0f} ms", f"{paints[-1]:.0f} ms", f"{weight / 1000:.0f} kB"]
                )
            request = http("GET", "/bytes/100", {"X-Session-API-Key": key})
            kind = {"requests": [request], "port": here.gateway_port, "rate": _RATE}
            shown = [runtime_id(OWNER, f"session-{number}") for number in range(sandboxes - 20, sandboxes)]
            await phase(here, gateway, kind, 2, 1, shown)
            for _ in range(rounds):
                for name, open_ones, changing in (
                    ("none", 0, ()),
                    (f"{count}, nothing changes", count, ()),
                    ("none, sandboxes change", 0, shown),
                    (f"{count}, sandboxes change", count, shown),
                ):
                    seen = await phase(here, gateway, kind, seconds, open_ones, changing)
                    print(name, json.dumps(seen), file=sys.stderr, flush=True)
                    found.setdefault(name, []).append(seen)
        finally:
            await asyncio.gather(operator.stop(), gateway.stop())
    return Grid("Pages", ["sandboxes", "first paint, median of 10", "slowest", "bytes of the page"], pages), _grid(
        found
    )


def _grid(found: Mapping[str, Sequence[Mapping[str, float]]]) -> Grid:
    rows = [
        [
            name,
            *(f"{median([one[what] for one in seen]):.1f} ms" for what in ("p50", "p99")),
            f"{100 * median([one['cpu'] for one in seen]):.0f} %",
            f"{median([one['memory'] for one in seen]):.0f} MiB",
            f"{median([one['sent'] for one in seen]) / 1000:.1f} kB/s",
        ]
        for name, seen in found.items()
    ]
    headings = ["consoles", "p50 of a GET", "p99", "CPU of the gateway", "its memory", "sent to each"]
    return Grid("Open consoles", headings, rows)


def main(
    sandboxes: Annotated[int, typer.Option(help="Of one owner.")] = 5000,
    count: Annotated[int, typer.Option(help="Open consoles.")] = 50,
    rounds: Annotated[int, typer.Option(help="How often each phase is measured.")] = 3,
    seconds: Annotated[float, typer.Option(help="Length of a phase.")] = 10,
    page: Annotated[Path, typer.Option(help="The page whose tables are renewed.")] = ROOT / "docs" / "measurements.md",
) -> None:
    """First paint, weight, and what open consoles cost the gateway and the data plane."""
    for name, grid in zip(NAMES, uvloop.run(_measure(sandboxes, count, rounds, seconds)), strict=True):
        grid.show()
        fill(page, name, grid)


if __name__ == "__main__":
    typer.run(main)
