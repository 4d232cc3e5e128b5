"""The client against a server that takes its time, refuses, and breaks connections."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from kubernetes.aio import client as kube_client

from sandbox_common.kube import ApiError, KubeClient, KubeObject
from sandbox_common.kube.client import _session as connections  # pyright: ignore[reportPrivateUsage]
from sandbox_common.kube.errors import may_have_succeeded
from sandbox_common.kube.resources import PODS

type Answer = Callable[[web.Request], web.StreamResponse]


def answer(code: int, body: KubeObject | None = None, **headers: str) -> Answer:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _: web.json_response(body or {"kind": "Pod"}, status=code, headers=names)


def broken(request: web.Request) -> web.StreamResponse:
    assert request.transport
    request.transport.abort()
    return web.Response()


def cut(_: web.Request) -> web.StreamResponse:
    """No more than the beginning of an answer."""
    return web.Response(text='{"kind": "Po', content_type="application/json")


@asynccontextmanager
async def connected(
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]], patience: float = 2.0, limit: int = 8
) -> AsyncGenerator[KubeClient]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    configuration = kube_client.Configuration(host=f"http://127.0.0.1:{runner.addresses[0][1]}")
    configuration.connection_pool_maxsize = limit
    api = kube_client.ApiClient(configuration)
    client = KubeClient(api, connections(api), patience=patience)
    try:
        yield client
    finally:
        await client.close()
        await runner.cleanup()


@asynccontextmanager
async def scripted(answers: Sequence[Answer], patience: float = 10.0) -> AsyncGenerator[tuple[KubeClient, list[str]]]:
    """A server that gives these answers one after the other, then the last one for ever, and the methods it saw."""
    methods: list[str] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        await request.read()
        methods.append(request.method)
        return answers[min(len(methods), len(answers)) - 1](request)

    async with connected(handle, patience) as client:
        yield client, methods


CONFLICT = answer(409, {"kind": "Status", "reason": "Conflict", "message": "the UID in the precondition is another"})
TAKEN = answer(409, {"kind": "Status", "reason": "AlreadyExists", "message": "there is one"})


async def test_a_request_may_wait_long_for_a_connection() -> None:
    slow = iter([6.0, 0.0])

    async def pod(_: web.Request) -> web.Response:
        await asyncio.sleep(next(slow))
        return web.json_response({"kind": "Pod"})

    async with connected(pod, limit=1) as client:
        found = await asyncio.gather(*(client.get(PODS, "n", name) for name in ("first", "second")))
        assert found == [{"kind": "Pod"}] * 2


@pytest.mark.parametrize("failing", [*(answer(code) for code in (401, 429, 500, 502, 503, 504)), broken, cut])
async def test_what_passes_is_not_seen_by_callers(failing: Answer) -> None:
    calls: list[Callable[[KubeClient], Awaitable[object]]] = [
        lambda client: client.get(PODS, "n", "one"),
        lambda client: client.list(PODS, "n"),
        lambda client: client.create(PODS, "n", {"metadata": {"name": "one"}}),
        lambda client: client.patch(PODS, "n", "one", {"spec": {}}),
        lambda client: client.json_patch(PODS, "n", "one", []),
        lambda client: client.delete(PODS, "n", "one", uid="u"),
    ]
    for call in calls:
        async with scripted([failing, answer(200)]) as (client, methods):
            await call(client)
            assert len(methods) == 2


async def test_what_does_not_pass_is_raised_with_the_server_s_wish() -> None:
    async with scripted([answer(500), answer(429, Retry_After="7")], patience=1) as (client, methods):
        with pytest.raises(ApiError) as refusal:
            await client.get(PODS, "n", "one")
        assert (refusal.value.code, refusal.value.retry_after, len(methods)) == (429, 7, 2)


@pytest.mark.parametrize(
    ("details", "namespace_ends"),
    [
        ({"causes": [{"reason": "NamespaceTerminating", "field": "metadata.namespace"}]}, True),
        ({"causes": [{"field": "spec"}, {"reason": "FieldValueInvalid"}]}, False),
        ({"causes": None}, False),
        ({"causes": ["text"]}, False),
        ({}, False),
        (None, False),
        ("text of a proxy", False),
    ],
)
async def test_the_causes_of_a_refusal(details: object, namespace_ends: bool) -> None:
    async with scripted([answer(403, {"kind": "Status", "message": "no", "details": details})]) as (client, _):
        with pytest.raises(ApiError, match="no") as caught:
            await client.create(PODS, "here", {})
    assert caught.value.namespace_ends == namespace_ends


async def test_nobody_waits_for_an_impatient_client() -> None:
    async with scripted([answer(503)], patience=0) as (client, methods):
        with pytest.raises(ApiError):
            await client.get(PODS, "n", "one")
        assert len(methods) == 1


async def test_a_name_that_an_attempt_before_has_taken() -> None:
    async with scripted([broken, TAKEN]) as (client, _):
        with pytest.raises(ApiError) as refusal:
            await client.create(PODS, "n", {"metadata": {"name": "one"}})
        assert refusal.value.uncertain
    async with scripted([answer(429), TAKEN]) as (client, _):
        with pytest.raises(ApiError) as refusal:
            await client.create(PODS, "n", {"metadata": {"name": "one"}})
        assert not refusal.value.uncertain


@pytest.mark.parametrize(("answers", "may"), [([broken], True), ([answer(504)], True), ([answer(409)], False)])
async def test_whether_a_failed_call_may_have_succeeded(answers: Sequence[Answer], may: bool) -> None:
    async with scripted(answers, patience=0) as (client, _):
        with pytest.raises((ApiError, aiohttp.ClientError)) as failure:
            await client.patch(PODS, "n", "one", {})
        assert may_have_succeeded(failure.value) == may


async def test_a_call_that_no_server_gets_has_not_succeeded() -> None:
    async with connected(lambda _: asyncio.sleep(0, web.Response())) as client:
        held_back = client.guarded(_refuse)
        with pytest.raises(aiohttp.ClientConnectionError) as failure:
            await held_back.patch(PODS, "n", "one", {})
        assert not may_have_succeeded(failure.value)


def _refuse() -> float:
    raise aiohttp.ClientConnectionError("not now")


async def test_what_an_attempt_before_has_deleted_is_gone() -> None:
    async with scripted([answer(504), CONFLICT]) as (client, _):
        await client.delete(PODS, "n", "one", uid="u")
    async with scripted([answer(429), CONFLICT]) as (client, _):
        with pytest.raises(ApiError):
            await client.delete(PODS, "n", "one", uid="u")
    async with scripted([answer(504), CONFLICT]) as (client, _):
        with pytest.raises(ApiError):
            # It may have changed instead.
            await client.delete(PODS, "n", "one", uid="u", resource_version="1")


async def test_a_guard_is_asked_before_each_attempt() -> None:
    asked: list[float] = []

    def guard() -> float:
        asked.append(1.0)
        if len(asked) == 2:
            raise aiohttp.ClientConnectionError("leads no more")
        return 1.0

    async with scripted([answer(503)]) as (client, methods):
        with pytest.raises(aiohttp.ClientConnectionError, match="leads no more"):
            await client.guarded(guard).create(PODS, "n", {"metadata": {"name": "one"}})
        assert methods == ["POST"]
