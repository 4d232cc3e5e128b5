"""Rows of sandboxes: states, filters, orders, and texts that are cut."""

from typing import Any

import pytest
from click.testing import CliRunner

from kubectl_ohsb.main import ohsb
from kubectl_ohsb.printing import columns
from kubectl_ohsb.sandboxes.listing import Filter, Row, command, ordered
from sandbox_common.reasons import Reason
from unit.sandbox_gateway.support import NOW, sandbox, status


def row(name: str = "sb-a", **fields: Any) -> Row:
    return Row.of(sandbox(name=name, **fields), {}, NOW)


def test_a_row_has_what_people_look_for() -> None:
    found = row(
        spec={"suspend": True, "suspendReason": "Idle", "className": "big"}, status=status(Reason.IDLE, pool="p")
    )
    assert found.cells(NOW, wide=False) == ("sb-a", "s", "alice", "paused", "Idle", "agent:1", "big", "5s", "0s", "p")
    assert found.document()["idleSince"] == "2026-01-02T03:04:05Z"
    assert row().cells(NOW, wide=False)[3:5] == ("starting", "Pending")


def test_only_what_is_suspended_for_idleness_is_idle() -> None:
    paused = row(spec={"suspend": True}, status=status(Reason.SUSPENDED))
    assert (paused.state, paused.reason, paused.idle_since) == ("paused", "Suspended", "")


def test_absurd_times_make_a_row_unreadable_and_harm_no_other() -> None:
    odd = row(status=status(Reason.UNSCHEDULABLE, startingSince="\x1b[2J"))
    assert odd.state == "unreadable"
    assert "kubectl get ohsb sb-a" in odd.message
    assert "\x1b" not in odd.message


def test_long_and_hostile_texts_fit_into_a_table() -> None:
    hostile = {"sessionID": "\x1b[2J" + "s" * 1000, "owner": "o" * 253, "image": "registry/" + "i" * 900 + ":tag"}
    found = row(spec=hostile)
    table = columns([found.cells(NOW, wide=False)])
    assert table.isprintable()
    assert len(table) < 250
    assert ":tag" in table
    assert "s" * 1000 in columns([found.cells(NOW, wide=True)])


@pytest.mark.parametrize(
    ("wanted", "allowed"),
    [
        (Filter(), True),
        (Filter(owners=["alice", "bob"]), True),
        (Filter(owners=["bob"]), False),
        (Filter(owners=["alice"], states=["error"]), False),
        (Filter(sessions=["s"], classes=["default"], reasons=[Reason.PENDING]), True),
        (Filter(sessions=["S"]), False),
    ],
)
def test_filters(wanted: Filter, allowed: bool) -> None:
    assert wanted.allows(row()) is allowed


def test_orders() -> None:
    idle = row("sb-c", spec={"suspend": True, "owner": "z"}, status=status(Reason.IDLE))
    rows = [row("sb-b"), idle, row("sb-a", spec={"owner": "a"})]
    assert [found.name for found in ordered(rows, "name")] == ["sb-a", "sb-b", "sb-c"]
    assert [found.name for found in ordered(rows, "idle")] == ["sb-c", "sb-a", "sb-b"]
    assert [found.name for found in ordered(rows, "owner")] == ["sb-a", "sb-b", "sb-c"]


@pytest.mark.parametrize("arguments", [["--state", "up"], ["--reason", "Bad"], ["--sort", "x"], ["--limit", "0"]])
def test_wrong_options_are_named(arguments: list[str]) -> None:
    result = CliRunner().invoke(ohsb, ["list", *arguments])
    assert result.exit_code == 2
    assert arguments[0] in result.output


def test_reasons_are_those_of_conditions_however_they_are_written() -> None:
    [option] = [param for param in command.params if param.name == "reasons"]
    assert option.type.convert("imagenotfound", option, None) == "ImageNotFound"
