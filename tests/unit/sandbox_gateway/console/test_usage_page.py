"""Pools, limits and usage."""

import re
from datetime import date
from typing import Any

import httpx
import pytest

from sandbox_common.api_keys import Limits
from sandbox_common.reasons import Reason
from sandbox_crds.models import SandboxPool, UsageAmounts
from sandbox_gateway.console.plots import HEIGHT, WIDTH, daily, hit_rate, number, usage_plots
from unit.sandbox_gateway.console.support import Town
from unit.sandbox_gateway.support import sandbox_object, status

DAYS = {
    "2026-01-01": {"default": UsageAmounts(running_seconds=3600, cold_starts=1), "gpu": UsageAmounts(warm_starts=2)},
    "2026-01-02": {"default": UsageAmounts(running_seconds=7200, warm_starts=3, cold_starts=1, resumes=4)},
}


def put(town: Town, name: str, version: int, **fields: Any) -> None:
    town.cache.remember(sandbox_object(name, version=version, uid=f"uid-{name}", **fields))


def test_each_day_has_its_place_in_a_plot() -> None:
    by_day = daily(DAYS, date(2026, 1, 2), 3)
    assert list(by_day) == ["2025-12-31", "2026-01-01", "2026-01-02"]
    running, _, _, starts = usage_plots(by_day)
    assert [(bar.height, bar.label) for bar in running.bars] == [
        (HEIGHT / 2, "2026-01-01: 1 hours"),
        (HEIGHT, "2026-01-02: 2 hours"),
    ]
    assert (running.top, running.sum, running.first, running.last) == ("2", "3", "2025-12-31", "2026-01-02")
    last = [bar for bar in starts.bars if bar.x > WIDTH * 2 / 3]
    assert [bar.part for bar in last] == [0, 1, 2]
    assert sum(bar.height for bar in last) == pytest.approx(HEIGHT)
    assert last[-1].y == 0
    for plot in usage_plots(by_day):
        assert all(bar.x >= 0 and bar.x + bar.width <= WIDTH and 0 <= bar.y <= HEIGHT for bar in plot.bars)
    rates = hit_rate(by_day)
    assert [round(bar.height / HEIGHT * 100) for bar in rates.bars] == [67, 75]


def test_nothing_is_a_plot_too() -> None:
    for plot in usage_plots(daily({}, date(2026, 1, 2))):
        assert (plot.bars, plot.sum) == ([], "0")
    assert [number(value) for value in (0, 0.1234, 12.34, 1234.5, 10_000)] == ["0", "0.123", "12.3", "1,234", "10,000"]


async def test_the_page_of_usage_has_limits_plots_and_numbers(http: httpx.AsyncClient, town: Town) -> None:
    town.days["alice"], town.limits = DAYS, Limits(running=4, life_seconds=3600)
    put(town, "sb-a", 1, status=status(Reason.READY))
    put(town, "sb-b", 2, spec={"suspend": True}, status=status(Reason.IDLE))
    page = (await http.get("/console/usage")).text
    assert 'aria-label="Sandboxes that start or run">1 of 4</meter>' in page
    assert re.search(r'paused ones too</th><td class="number">2</td><td class="number">no limit', page)
    assert page.count("<svg") == 4
    assert "<title>2026-01-02: 3 warm</title>" in page
    assert " style=" not in page


async def test_only_administrators_see_others(http: httpx.AsyncClient, town: Town) -> None:
    town.days["bob"] = DAYS
    put(town, "sb-a", 1, spec={"owner": "bob"}, status=status(Reason.READY, poolMiss="ImageDiffers: his:1"))
    town.pools.known = [
        SandboxPool.model_validate({"metadata": {"name": name}, "spec": {"image": "<i>", "className": class_name}})
        for name, class_name in (("pool-a", "default"), ("pool-b", "secret"))
    ]
    usage, pools = (await http.get("/console/usage?owner=bob")).text, (await http.get("/console/pools")).text
    assert "usage of <bdi>alice</bdi>" in usage
    assert "3 warm" not in usage
    assert "pool-a" in pools
    assert "&lt;i&gt;" in pools
    assert "pool-b" not in pools
    assert "his:1" not in pools
    town.ring.add("alice-1", "key-of-alice", "alice", admin=True)
    usage, pools = (await http.get("/console/usage?owner=bob")).text, (await http.get("/console/pools")).text
    assert "usage of <bdi>bob</bdi>" in usage
    assert "3 warm" in usage
    assert "pool-b" in pools
    assert "his:1" in pools
    table = (await http.get("/console/sandboxes?owner=bob")).text
    assert "1 sandbox" in table
    assert '<option selected value="bob">' in table
