"""`/healthz`, `/readyz` and `/metrics` of the operator."""

from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web
from prometheus_client.aiohttp import make_aiohttp_handler

type ProbeChecks = Mapping[str, Callable[[], bool]]
"""The checks of a probe: name, and a function that returns whether it passes."""


async def serve(port: int, healthy: ProbeChecks, ready: ProbeChecks) -> web.AppRunner:
    """Listen on all addresses. `cleanup()` of the returned runner stops it. Raises OSError if the port is taken.

    Each probe answers 200 or 503, with one line for each check. `/metrics` has all metrics of the process.
    """
    app = web.Application()
    app.router.add_get("/healthz", _handler(healthy))
    app.router.add_get("/readyz", _handler(ready))
    app.router.add_get("/metrics", make_aiohttp_handler())
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, port=port).start()
    return runner


def _handler(checks: ProbeChecks) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answer(_: web.Request) -> web.StreamResponse:
        results = {name: check() for name, check in checks.items()}
        text = "".join(f"{name}: {'ok' if good else 'failed'}\n" for name, good in results.items())
        return web.Response(text=text, status=200 if all(results.values()) else 503)

    return answer
