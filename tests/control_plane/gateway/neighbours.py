"""Two owners with one sandbox each, behind the same gateways in host mode; their pods are on loopback."""

import hmac
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus

import httpx
import orjson
from aiohttp import WSMsgType, web

from control_plane.gateway.support import Operator, answer
from control_plane.waiting import eventually
from sandbox_common.reasons import Reason

DOMAIN = "sandboxes.test"

_WRONG_KEY = 4001


class GuardedAgent:
    """An agent server that asks for its key wherever the real one does; `opened` is what it has served with it."""

    def __init__(self) -> None:
        self.port = 0
        self.key = ""
        self.opened: list[str] = []
        self.refused: list[str] = []

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Any path."""
        if request.path == "/health":
            return web.json_response("OK")
        shown = (
            request.headers.get("X-Session-API-Key"),
            request.headers.get("Authorization", "").removeprefix("Bearer "),
            request.cookies.get("oh_workspace_session_key"),
            request.query.get("session_api_key"),
        )
        is_websocket = request.headers.get("Upgrade") == "websocket"
        if not is_websocket:
            if self._note(request, *shown):
                return web.json_response(self.port)
            return web.json_response({"detail": "Unauthorized"}, status=HTTPStatus.UNAUTHORIZED)
        websocket = web.WebSocketResponse()
        await websocket.prepare(request)
        message = None if any(shown) else await websocket.receive()
        if message is not None and message.type is WSMsgType.TEXT:
            shown = (orjson.loads(message.data).get("session_api_key"),)
        if self._note(request, *shown):
            await websocket.send_str(str(self.port))
            await websocket.close()
        else:
            await websocket.close(code=_WRONG_KEY)
        return websocket

    def _note(self, request: web.Request, *shown: str | None) -> bool:
        is_open = any(hmac.compare_digest(key or "", self.key) for key in shown)
        (self.opened if is_open else self.refused).append(request.path_qs)
        return is_open


@asynccontextmanager
async def guarded_agent[Agent: GuardedAgent](agent: Agent) -> AsyncGenerator[Agent]:
    """This one, on loopback."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", agent.serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    agent.port = runner.addresses[0][1]
    try:
        yield agent
    finally:
        await runner.cleanup()


@dataclass
class Neighbour:
    """One owner's API key and sandbox: `name` is its runtime id, `key` its session key."""

    api_key: str = field(repr=False)
    session_id: str
    agent: GuardedAgent
    name: str = ""
    key: str = ""

    @property
    def host(self) -> str:
        """Its host name, without the port."""
        return f"{self.name}.{DOMAIN}"


@dataclass(frozen=True)
class Town:
    """Gateways by URL, who lives behind them, and a client that sends no key by itself."""

    replicas: list[str]
    alice: Neighbour
    bob: Neighbour
    http: httpx.AsyncClient


@asynccontextmanager
async def town(
    replicas: list[str],
    api_keys: tuple[str, str],
    operator: Operator,
    agents: Callable[[], GuardedAgent] = GuardedAgent,
) -> AsyncGenerator[Town]:
    """Both sandboxes run, and every replica knows."""
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(httpx.AsyncClient(timeout=20, trust_env=False))
        alice, bob = [
            Neighbour(api_key, f"session-{number}", await stack.enter_async_context(guarded_agent(agents())))
            for number, api_key in enumerate(api_keys)
        ]
        for owner in (alice, bob):
            await _start(owner, http, replicas, operator)
        yield Town(replicas, alice, bob, http)


async def _start(owner: Neighbour, http: httpx.AsyncClient, replicas: list[str], operator: Operator) -> None:
    body = {"image": "i", "session_id": owner.session_id, "command": f"agent-server --port {owner.agent.port}"}
    started = answer(await http.post(f"{replicas[0]}/start", json=body, headers={"X-API-Key": owner.api_key}))
    owner.name, owner.key = started["runtime_id"], started["session_api_key"]
    owner.agent.key = owner.key
    await operator.report(Reason.READY, name=owner.name, podUID=owner.name)

    async def known() -> bool:
        headers = {"X-Session-API-Key": owner.key}
        answers = [await http.get(f"{replica}/health", headers=headers) for replica in replicas]
        return all(found.status_code == HTTPStatus.OK for found in answers)

    await eventually(known)
