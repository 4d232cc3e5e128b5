"""What the operator may ask a replica, and the hand-over at its end."""

import asyncio
import math
from collections.abc import AsyncIterator

import httpx
import pytest

from sandbox_common.activity import decode
from sandbox_common.keys import MasterKeys
from sandbox_gateway.process.activity import Activity
from sandbox_gateway.process.internal import ActivityReports
from sandbox_gateway.process.servers import probes_app
from unit.sandbox_gateway.support import KEYS, refusal

PATH = "/internal/activity"
TOKEN = {"Authorization": f"Bearer {KEYS.internal_token()}"}


@pytest.fixture
def activity() -> Activity:
    return Activity()


@pytest.fixture
async def reports(activity: Activity) -> ActivityReports:
    return ActivityReports(activity, KEYS)


@pytest.fixture
async def http(reports: ActivityReports) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(probes_app(lambda: True, reports.route))
    async with httpx.AsyncClient(transport=transport, base_url="http://replica.test:8081") as http:
        yield http


async def test_a_report_names_who_is_in_use(activity: Activity, http: httpx.AsyncClient) -> None:
    activity.begin("sb-a")
    activity.touch("sb-b")
    answer = await http.get(PATH, headers=TOKEN)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    report = decode(answer.content)
    assert report.sandboxes["sb-a"].in_flight == 1
    assert report.sandboxes["sb-b"].in_flight == 0
    assert set(decode((await http.get(f"{PATH}?within=0", headers=TOKEN)).content).sandboxes) == {"sb-a"}
    assert set(decode((await http.get(f"{PATH}?within=60.5", headers=TOKEN)).content).sandboxes) == {"sb-a", "sb-b"}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer wrong"},
        {"Authorization": KEYS.internal_token()},
        {"Authorization": f"Basic {KEYS.internal_token()}"},
        {"Authorization": f"Bearer {KEYS.session_key(KEYS.key_id('uid-1'))}"},
        {"Authorization": f"Bearer {MasterKeys.of({1: b'o' * 32}).internal_token()}"},
        {"X-API-Key": "good"},
    ],
)
async def test_nobody_else_may_ask(http: httpx.AsyncClient, headers: dict[str, str]) -> None:
    refusal(await http.get(f"{PATH}?within=x", headers=headers), 401)


async def test_a_token_that_is_no_text_is_refused(http: httpx.AsyncClient) -> None:
    refusal(await http.get(PATH, headers=[(b"Authorization", b"Bearer \xff\xfe")]), 401)


async def test_an_older_master_keys_token_is_taken(activity: Activity) -> None:
    rotated = MasterKeys.of({**KEYS.versions, 2: b"n" * 32})
    transport = httpx.ASGITransport(probes_app(lambda: True, ActivityReports(activity, rotated).route))
    async with httpx.AsyncClient(transport=transport, base_url="http://replica.test:8081") as http:
        assert (await http.get(PATH, headers=TOKEN)).status_code == 200


@pytest.mark.parametrize("within", ["", "abc", "-1", "nan", "inf", "1e999", "1&within=2", "0x10", "%ff"])
async def test_a_bad_query_is_refused(http: httpx.AsyncClient, within: str) -> None:
    assert "within" in refusal(await http.get(f"{PATH}?within={within}", headers=TOKEN), 422)


async def test_it_is_for_reading_only(http: httpx.AsyncClient) -> None:
    assert (await http.post(PATH, headers=TOKEN)).status_code == 405


async def test_the_end_waits_for_the_last_report(reports: ActivityReports, http: httpx.AsyncClient) -> None:
    await http.get(PATH, headers=TOKEN)
    ending = asyncio.create_task(reports.hand_over(math.inf))
    await asyncio.sleep(0)
    assert not ending.done()
    await http.get(PATH)
    await asyncio.sleep(0)
    assert not ending.done(), "a refused question is no hand-over"
    await http.get(PATH, headers=TOKEN)
    await ending


async def test_the_end_waits_no_longer_than_it_may(reports: ActivityReports, http: httpx.AsyncClient) -> None:
    await http.get(PATH, headers=TOKEN)
    await reports.hand_over(0.01)
    await reports.hand_over(-1)


async def test_the_end_does_not_wait_when_nobody_follows(reports: ActivityReports) -> None:
    await reports.hand_over(math.inf)
