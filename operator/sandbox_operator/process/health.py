"""`/healthz`, `/readyz` and `/metrics` of the operator."""

from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web
from prometheus_client.aiohttp import make_aiohttp_handler

type Checks = Mapping[str, Callable[[], bool]]
"""Name of what must be so, and whether it is."""


async def serve(port: int, healthy: Checks, ready: Checks) -> web.AppRunner:
    """Listen on all addresses; `cleanup()` of what is returned ends it. Raises OSError when the port is taken.

    Each probe answers 200 or 503, with one line for each check; `/metrics` all metrics of the process.
    """
    app = web.Application()
    app.router.add_get("/healthz", _handler(healthy))
    app.router.add_get("/readyz", _handler(ready))
    app.router.add_get("/metrics", make_aiohttp_handler())
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, port=port).start()
    return runner


def _handler(checks: Checks) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answer(_: web.Request) -> web.StreamResponse:
        results = {name: check() for name, check in checks.items()}
        text = "".join(f"{name}: {'ok' if good else 'failed'}\n" for name, good in results.items())
        return web.Response(text=text, status=200 if all(results.values()) else 503)

    return answer
