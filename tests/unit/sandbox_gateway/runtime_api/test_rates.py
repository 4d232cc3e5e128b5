"""The rate of each API key: properties over any calls at any times, and the answer over the limit."""

from collections import Counter
from collections.abc import AsyncIterator
from math import ceil

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_common.api_keys import ApiKey, Limits, Policy
from sandbox_gateway.runtime_api.rates import WINDOW_SECONDS, Rates
from unit.sandbox_gateway.support import FixedApiKeys, ScriptedService, refusal, runtime_api

# In eighths of a second, which floating-point numbers add exactly.
PAUSES = st.integers(0, 360).map(lambda eighths: eighths / 8)
CALLS = st.lists(st.tuples(PAUSES, st.sampled_from("abc"), st.integers(1, 4)), max_size=80)
"""Seconds since the call before, key, limit."""


@given(CALLS)
def test_no_key_has_more_than_twice_its_limit_within_any_window(calls: list[tuple[float, str, int]]) -> None:
    rates, now, limits = Rates(), 0.0, {"a": 1, "b": 2, "c": 5}
    passed: list[tuple[float, str]] = []
    for pause, key, _ in calls:
        now += pause
        wait = rates.take(key, limits[key], now)
        if wait == 0:
            passed.append((now, key))
        assert 0 <= wait <= WINDOW_SECONDS
    for moment, _ in passed:
        within = Counter(key for at, key in passed if moment <= at < moment + WINDOW_SECONDS)
        assert all(number <= 2 * limits[key] for key, number in within.items())


@given(CALLS)
def test_who_waits_as_long_as_told_passes(calls: list[tuple[float, str, int]]) -> None:
    rates, now = Rates(), 0.0
    for pause, key, limit in calls:
        now += pause
        wait = rates.take(key, limit, now)
        if wait:
            now += ceil(wait)
            assert rates.take(key, limit, now) == 0


@given(CALLS)
def test_a_key_has_what_it_would_have_without_the_others(calls: list[tuple[float, str, int]]) -> None:
    """Within one window: who begins it does not matter there."""
    together, alone = Rates(), Rates()
    for number, (_, key, limit) in enumerate(calls):
        now = number / 10
        got = together.take(key, limit, now)
        if key == "a":
            assert (got == 0) == (alone.take(key, limit, now) == 0)


def test_exactly_the_limit_passes_in_a_window_and_again_in_the_next() -> None:
    rates = Rates()
    assert [rates.take("a", 3, 10 + second) for second in range(5)] == [0, 0, 0, 57, 56]
    assert rates.take("b", 1, 15) == 0
    assert [rates.take("a", 3, 70) for _ in range(4)] == [0, 0, 0, 60]


def test_only_the_keys_of_the_present_window_are_remembered() -> None:
    rates = Rates()
    for number in range(1000):
        rates.take(f"key-{number}", 1, 0)
    rates.take("a", 1, 60)
    assert len(rates._used) == 1  # pyright: ignore[reportPrivateUsage]


def key_with(limit: int | None) -> ApiKey:
    return ApiKey("alice-1", "alice", (), Policy(limits=Limits(requests_per_minute=limit)))


@pytest.fixture
async def http(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> AsyncIterator[httpx.AsyncClient]:
    """The Runtime API; the parameter is (the key's own limit, the limit of all keys)."""
    own, of_all = request.param
    monkeypatch.setattr(FixedApiKeys, "policy", key_with(own).policy)
    async with runtime_api(ScriptedService(), requests_per_minute=of_all) as client:
        yield client


@pytest.mark.parametrize("http", [(3, 0), (3, 1), (3, 1000), (None, 3)], indirect=True)
async def test_one_call_more_is_429(http: httpx.AsyncClient) -> None:
    assert [(await http.get("/list")).status_code for _ in range(3)] == [200] * 3
    response = await http.get("/list")
    assert refusal(response, 429).startswith("Rate limit exceeded: 3/minute")
    assert 1 <= int(response.headers["retry-after"]) <= 60
    # What is read without a key is not counted, and a wrong key has none.
    assert (await http.get("/openapi.json")).status_code == 200
    refusal(await http.get("/list", headers={"X-API-Key": "bad"}), 401)


@pytest.mark.parametrize("http", [(1, 0)], indirect=True)
async def test_what_is_refused_does_not_reach_the_service(http: httpx.AsyncClient) -> None:
    refusal(await http.post("/start", json={}), 422)
    detail = refusal(await http.post("/start", json={"image": "i", "session_id": "s"}), 429)
    assert "limits.requestsPerMinute" in detail


@pytest.mark.parametrize("http", [(None, 0)], indirect=True)
async def test_without_a_limit_nothing_is_counted(http: httpx.AsyncClient) -> None:
    assert {(await http.get("/list")).status_code for _ in range(50)} == {200}
