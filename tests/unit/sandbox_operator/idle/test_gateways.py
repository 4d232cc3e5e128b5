"""The gateway's replicas over real HTTP, with the gateway's own answers."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest
import structlog
from aiohttp import web
from prometheus_client import REGISTRY

from sandbox_common.activity import Use
from sandbox_common.keys import MasterKeys
from sandbox_gateway.process.activity import Activity
from sandbox_gateway.process.internal import ActivityReports
from sandbox_gateway.process.servers import AppServer, probes_app, tcp_socket
from sandbox_operator.idle import gateways
from sandbox_operator.idle.gateways import GatewayReplicas, Peer, parse_peers
from unit.sandbox_operator.samples import KEYS

type Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def replica(activity: Activity, keys: MasterKeys = KEYS) -> AsyncGenerator[Peer]:
    """A replica's port of probes."""
    listening = tcp_socket("127.0.0.1", 0)
    port = listening.getsockname()[1]
    server = AppServer(probes_app(lambda: True, ActivityReports(activity, keys).route), listening, grace_seconds=0)
    running = asyncio.create_task(server.run())
    try:
        yield Peer("127.0.0.1", port)
    finally:
        server.stop()
        await running


@asynccontextmanager
async def asking(*peers: Peer) -> AsyncGenerator[GatewayReplicas]:
    async with aiohttp.ClientSession(trust_env=False) as session:
        yield GatewayReplicas(session, KEYS, peers)


def everything(_: str) -> None:
    return None


async def test_all_replicas_are_asked() -> None:
    first, second = Activity(), Activity()
    first.begin("sb-a")
    async with replica(first) as one, replica(second) as two, asking(one, two) as peers:
        reports = await peers.reports(everything)
    one_report, two_report = reports[f"127.0.0.1:{one.port}"], reports[f"127.0.0.1:{two.port}"]
    assert one_report
    assert two_report
    assert one_report.sandboxes == {"sb-a": Use(1, 0.0)}
    assert two_report.sandboxes == {}


async def test_each_is_asked_for_what_is_new() -> None:
    activity = Activity()
    activity.touch("sb-a")
    asked: list[str] = []

    def within(address: str) -> float:
        asked.append(address)
        return 0.0

    async with replica(activity) as peer, asking(peer) as peers:
        [report] = (await peers.reports(within)).values()
    assert asked == [f"127.0.0.1:{peer.port}"]
    assert report
    assert report.sandboxes == {}


async def test_every_address_of_a_name_is_a_replica(monkeypatch: pytest.MonkeyPatch) -> None:
    activity = Activity()
    async with replica(activity) as peer, asking(Peer("gateway-peers", peer.port)) as peers:

        async def resolve(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
            assert host == "gateway-peers"
            entry = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
            return [(*entry, (address, port)) for address in ("127.0.0.1", "127.0.0.2", "127.0.0.1")]

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
        reports = await peers.reports(everything)
    assert list(reports) == [f"127.0.0.1:{peer.port}", f"127.0.0.2:{peer.port}"]
    assert reports[f"127.0.0.1:{peer.port}"]
    assert reports[f"127.0.0.2:{peer.port}"] is None


async def test_a_name_that_is_not_found_lists_nobody() -> None:
    async with asking(Peer("no-such-name.invalid", 8081)) as peers:
        with structlog.testing.capture_logs() as logs:
            assert await peers.reports(everything) == {}
            assert await peers.reports(everything) == {}
    # Once, not with each check.
    assert [entry["log_level"] for entry in logs] == ["warning"]


async def test_another_master_key_is_refused_and_not_told() -> None:
    stranger = MasterKeys.of({1: b"o" * 32})
    async with replica(Activity(), stranger) as peer, asking(peer) as peers:
        with structlog.testing.capture_logs() as logs:
            assert list((await peers.reports(everything)).values()) == [None]
    assert "answers 401" in logs[0]["error"]
    assert KEYS.internal_token() not in str(logs)


async def _redirect(_: web.Request) -> web.StreamResponse:
    return web.Response(status=302, headers={"Location": "/elsewhere"})


async def _nonsense(_: web.Request) -> web.StreamResponse:
    return web.Response(text='{"uptime_seconds": -1, "sandboxes": {}}')


async def _silence(_: web.Request) -> web.StreamResponse:
    await asyncio.sleep(60)
    return web.Response()


async def _break(request: web.Request) -> web.StreamResponse:
    assert request.transport
    request.transport.abort()
    return web.Response()


@asynccontextmanager
async def answering(answer: Answer) -> AsyncGenerator[Peer]:
    """Something else at a replica's port."""
    app = web.Application()
    app.router.add_get("/internal/{what}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield Peer("127.0.0.1", runner.addresses[0][1])
    await runner.cleanup()


@pytest.mark.parametrize("answer", [_redirect, _nonsense, _silence, _break])
async def test_what_is_no_report_is_none(answer: Answer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateways, "ANSWER_SECONDS", 0.3)
    async with answering(answer) as peer, asking(peer) as peers:
        with structlog.testing.capture_logs() as logs:
            assert list((await peers.reports(everything)).values()) == [None]
    assert KEYS.internal_token() not in str(logs)


async def test_the_end_of_trouble_is_told() -> None:
    answers = [web.Response(status=503), web.Response(text='{"uptime_seconds": 1, "sandboxes": {}}')]

    async def answer(_: web.Request) -> web.StreamResponse:
        return answers.pop(0)

    async with answering(answer) as peer, asking(peer) as peers:
        blocked: list[float | None] = []
        with structlog.testing.capture_logs() as logs:
            for _ in range(2):
                await peers.reports(everything)
                blocked.append(REGISTRY.get_sample_value("openhands_sandbox_operator_idle_blocked"))
    assert blocked == [1, 0]
    assert [entry["log_level"] for entry in logs] == ["warning", "info"]


@pytest.mark.parametrize(
    ("text", "peers"),
    [
        ("", ()),
        ("  ", ()),
        ("gateway-peers:8081", (Peer("gateway-peers", 8081),)),
        ("127.0.0.1:1, [::1]:2", (Peer("127.0.0.1", 1), Peer("::1", 2))),
    ],
)
def test_peers_are_read(text: str, peers: tuple[Peer, ...]) -> None:
    assert parse_peers(text) == peers


@pytest.mark.parametrize(
    "text",
    [
        "gateway",
        "gateway:",
        ":8081",
        "gateway:port",
        "gateway:70000",
        "http://gateway:8081",
        "a:1,",
        "a:1/path",
        "u@a:1",
    ],
)
def test_what_is_no_peer_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"host:port|[Pp]ort"):
        parse_peers(text)


async def test_the_first_replica_that_knows_says_how_large_an_image_is() -> None:
    asked: list[dict[str, str]] = []

    async def ignorant(_: web.Request) -> web.Response:
        return web.json_response({"bytes": "many"})

    async def answer(request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == f"Bearer {KEYS.internal_token()}"
        asked.append(dict(request.query))
        return web.json_response({"bytes": 812})

    async with answering(ignorant) as one, answering(answer) as two, asking(one, two) as peers:
        assert await peers.image_size("a:1", "team", "default") == 812
    assert asked == [{"image": "a:1", "owner": "team", "class": "default"}]


async def test_without_a_replica_no_image_has_a_size() -> None:
    async with asking(Peer("127.0.0.1", 1)) as peers:
        assert await peers.image_size("a:1", "", "default") == 0
