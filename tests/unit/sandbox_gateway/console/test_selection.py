"""Filters, search, order and pages of the table."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox_gateway.console.selection import COLUMNS, Query, Row, select


def row(number: int = 0, **fields: Any) -> Row:
    usual: dict[str, Any] = {
        "runtime_id": f"sb-{number:04}",
        "session_id": f"session {number}",
        "owner": "alice",
        "state": "running",
        "reason": "Ready",
        "image": "agent:1",
        "class_name": "default",
        "launch": "Warm",
        "pool": "python",
        "created": f"2026-01-01T00:{number // 60:02}:{number % 60:02}Z",
        "idle_since": "",
    }
    return Row(**{**usual, **fields})


def names(rows: list[Row], **query: Any) -> list[str]:
    return [found.runtime_id for found in select(rows, Query(**query)).rows]


def test_the_newest_come_first_on_pages() -> None:
    rows = [row(number) for number in range(250)]
    first = select(rows, Query())
    assert [found.runtime_id for found in first.rows] == [f"sb-{number:04}" for number in range(249, 199, -1)]
    assert (first.fitting, first.total, first.pages, first.first) == (250, 250, 5, 1)
    last = select(rows, Query(page=99))
    assert (last.query.page, len(last.rows), last.first) == (5, 50, 201)
    assert select([], Query(page=7)).rows == []


def test_filters_fit_together() -> None:
    rows = [
        row(1, state="error", reason="OOMKilled", class_name="gpu"),
        row(2, state="error", image="registry.test/Agent:2"),
        row(3, pool="", session_id="Nightly Build"),
        row(4, owner="bob"),
    ]
    assert names(rows, state="error") == ["sb-0002", "sb-0001"]
    assert names(rows, state="error", class_name="gpu") == ["sb-0001"]
    assert names(rows, q="agent:2") == ["sb-0002"]
    assert names(rows, q="BUILD night") == ["sb-0003"]
    assert names(rows, q="oomkilled") == ["sb-0001"]
    assert names(rows, q="sb-0004", owner="bob") == ["sb-0004"]
    assert names(rows, q="sb-0004", owner="alice") == []
    assert names(rows, pool="python") == ["sb-0004", "sb-0002", "sb-0001"]
    found = select(rows, Query(state="paused"))
    assert (found.classes, found.pools, found.owners) == (["default", "gpu"], ["python"], ["alice", "bob"])


@pytest.mark.parametrize("column", COLUMNS)
def test_each_column_sorts_in_both_directions(column: str) -> None:
    rows = [row(number, state=state, launch=state, reason=state) for number, state in enumerate(["b", "a", "c", "a"])]
    up, down = names(rows, sort=column, down=False), names(rows, sort=column, down=True)
    of = {known.runtime_id: COLUMNS[column](known) for known in rows}
    assert [of[name] for name in up] == sorted(of.values())
    assert [of[name] for name in down] == sorted(of.values(), reverse=True)


NAMES = ["q", "state", "class", "pool", "owner", "sort", "order", "page"]


@settings(max_examples=50)
@given(st.dictionaries(st.sampled_from(NAMES), st.text(max_size=8), max_size=4))
def test_any_query_of_a_url_is_a_query(values: dict[str, str]) -> None:
    query = Query.parse(values)
    assert len(select([row(number) for number in range(3)], query).rows) <= 3
    assert query.page >= 1
    assert "\n" not in query.url()


def test_a_url_says_the_same_query_again() -> None:
    query = Query(q="a & b", state="error", class_name="gpu", pool="p", owner="team a", sort="name", down=False, page=2)
    values = dict(pair.split("=") for pair in query.url().removeprefix("?").split("&"))
    assert values == {
        "q": "a+%26+b",
        "state": "error",
        "class": "gpu",
        "pool": "p",
        "owner": "team+a",
        "sort": "name",
        "order": "asc",
        "page": "2",
    }
    assert Query.parse({"sort": "name", "page": "2", "class": "gpu"}) == Query(
        sort="name", down=False, page=2, class_name="gpu"
    )
    assert Query().url() == "?"
