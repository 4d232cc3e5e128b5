"""The health endpoints."""

from collections.abc import AsyncIterator

import httpx
import pytest

from local_cluster.ports import free_port
from sandbox_operator.process import health


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def state() -> dict[str, bool]:
    return {"turns": True, "filled": False}


@pytest.fixture
async def http(port: int, state: dict[str, bool]) -> AsyncIterator[httpx.AsyncClient]:
    healthy = {"turns": lambda: state["turns"]}
    ready = {**healthy, "filled": lambda: state["filled"]}
    runner = await health.serve(port, healthy, ready)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        yield client
    await runner.cleanup()


async def test_each_check_has_its_line(http: httpx.AsyncClient, state: dict[str, bool]) -> None:
    answer = await http.get("/healthz")
    assert (answer.status_code, answer.text) == (200, "turns: ok\n")
    answer = await http.get("/readyz")
    assert (answer.status_code, answer.text) == (503, "turns: ok\nfilled: failed\n")
    state.update(filled=True)
    assert (await http.get("/readyz")).status_code == 200
    state.update(turns=False)
    assert (await http.get("/healthz")).status_code == 503


async def test_other_paths_and_methods_are_refused(http: httpx.AsyncClient) -> None:
    assert (await http.get("/other")).status_code == 404
    assert (await http.post("/healthz")).status_code == 405


async def test_metrics_are_told_as_prometheus_reads_them(http: httpx.AsyncClient) -> None:
    answer = await http.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    assert "process_resident_memory_bytes " in answer.text


async def test_a_port_that_is_taken_is_an_error(http: httpx.AsyncClient, port: int) -> None:
    with pytest.raises(OSError, match="in use"):
        await health.serve(port, {}, {})
