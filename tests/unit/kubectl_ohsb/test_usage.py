"""`kubectl ohsb usage`: sums by owner and class, as a table, JSON and CSV."""

import csv
import io
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from click.testing import CliRunner

from kubectl_ohsb.connection import refused
from kubectl_ohsb.main import ohsb
from kubectl_ohsb.usage import document, sheet, summed, table, usage_of
from sandbox_common.kube import ApiError
from sandbox_crds.models import Sandbox, SandboxClass, SandboxUsage, UsageAmounts

NOW = datetime(2026, 12, 1, 0, 10, tzinfo=UTC)
HOSTILE = ['=HYPERLINK("http://x")', "+1", "-1", "@SUM(1)", "\tx", "\rx", 'a,"b"\nc', "\x1b[2J", "é", "", "ci"]


def record(owner: str, **days: dict[str, Any]) -> SandboxUsage:
    dated = {day.strip("_").replace("_", "-"): rows for day, rows in days.items()}
    return SandboxUsage.model_validate(
        {"spec": {"owner": owner}, "status": {"through": "2026-12-01T00:00:00Z", "days": dated}}
    )


RECORDS = [
    record(
        "ci",
        _2026_11_30={
            "default": {"runningSeconds": 3600, "cpuMillicoreSeconds": 1_800_000, "memoryMebibyteSeconds": 7_372_800},
            "gpu": {"runningSeconds": 1800, "coldStarts": 2},
        },
        _2026_12_01={"default": {"storageMebibyteSeconds": 36_864_000, "suspendedSeconds": 900, "warmStarts": 1}},
    ),
    record("team", _2026_11_29={"default": {"runningSeconds": 7200, "resumes": 3}}),
]
CLASSES = [SandboxClass.model_validate({"metadata": {"name": "default"}, "spec": {"egress": "None"}})]


def sums(by: str = "owner", since: str = "", until: str = "", records: Sequence[SandboxUsage] = RECORDS) -> Any:
    return summed(usage_of(records, [], CLASSES, NOW), by, since, until)


def test_a_table_has_hours() -> None:
    lines = [line.split() for line in table(sums(), "owner").splitlines()]
    assert lines[0][0] == "OWNER"
    assert lines[1:] == [
        ["ci", "1.50", "0.25", "0.50", "2.00", "10.00", "2", "1", "0"],
        ["team", "2.00", "0.00", "0.00", "0.00", "0.00", "0", "0", "3"],
    ]
    assert "(none)" in table({"": UsageAmounts()}, "owner")


def test_classes_are_summed_over_owners() -> None:
    assert {name: row.running_seconds for name, row in sums("class").items()} == {"default": 10800, "gpu": 1800}


@pytest.mark.parametrize(
    ("since", "until", "expected"),
    [
        ("2026-11-30", "", {"ci": 5400}),
        ("", "2026-11-29", {"team": 7200}),
        ("2026-11-30", "2026-11-30", {"ci": 5400}),
        ("2026-12-02", "", {}),
        ("2026-12-01", "2026-11-01", {}),
    ],
)
def test_days_outside_do_not_count(since: str, until: str, expected: dict[str, int]) -> None:
    assert {name: row.running_seconds for name, row in sums(since=since, until=until).items()} == expected


def test_present_sandboxes_count_on_and_a_broken_one_hides_no_other() -> None:
    def sandbox(name: str, owner: str, ready: str) -> Sandbox:
        status = {"podUID": "p", "launch": "Cold", "readyTime": ready, "workspaceKept": False}
        metadata = {"name": name, "creationTimestamp": "2026-11-30T00:00:00Z"}
        return Sandbox.model_validate({"metadata": metadata, "spec": {"image": "i", "owner": owner}, "status": status})

    sandboxes = [
        sandbox("a", "ci", "2026-11-30T12:00:00Z"),
        sandbox("b", "new", "2026-12-01T00:09:00Z"),
        sandbox("c", "ci", "yesterday"),
    ]
    found = summed(usage_of(RECORDS, sandboxes, CLASSES, NOW), "owner", "2026-12-01", "")
    assert {name: (row.running_seconds, row.cold_starts) for name, row in found.items()} == {
        "ci": (600, 0),
        "new": (60, 1),
    }


def test_json_has_exact_amounts_and_names_as_they_are() -> None:
    records = [record(owner, _2026_11_30={"default": {"runningSeconds": 7}}) for owner in HOSTILE]
    found = json.loads(json.dumps(document(sums(records=records), "owner", NOW, "2026-11-01", None)))
    assert {row["owner"]: row["running_seconds"] for row in found["rows"]} == dict.fromkeys(HOSTILE, 7)
    assert (found["since"], found["until"], found["through"]) == ("2026-11-01", None, "2026-12-01T00:10:00Z")


def test_csv_has_a_row_for_each_name_and_no_formulas() -> None:
    records = [record(owner, _2026_11_30={"default": {"runningSeconds": 7}}) for owner in HOSTILE]
    heading, *rows = csv.reader(io.StringIO(sheet(sums(records=records), "owner"), newline=""))
    assert heading[:2] == ["owner", "running_seconds"]
    assert len(rows) == len(HOSTILE)
    assert {row[0] for row in rows if row[0] in HOSTILE} == {'a,"b"\nc', "\x1b[2J", "é", "", "ci"}
    assert all(row[0].lstrip("'") in HOSTILE and row[0][:1] not in set("=+-@\t\r") for row in rows)


def test_a_table_controls_no_terminal() -> None:
    records = [record(owner, _2026_11_30={owner or "x": {"runningSeconds": 7}}) for owner in HOSTILE]
    for by in ("owner", "class"):
        text = table(sums(by, records=records), by)
        assert len(text.splitlines()) == len(HOSTILE) + 1
        assert "\x1b" not in text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--since", "yesterday"), "is not a day"),
        (("--since", "2026-02-30"), "is not a day"),
        (("--until", "2026-1-1"), "is not a day"),
        (("--by", "image"), "'--by'"),
        (("-o", "xml"), "'-o'"),
    ],
)
def test_a_wrong_option_is_refused_by_name(arguments: tuple[str, ...], said: str) -> None:
    done = CliRunner().invoke(ohsb, ["usage", *arguments])
    assert (done.exit_code, done.stdout) == (2, "")
    assert said in done.stderr


@pytest.mark.parametrize("arguments", [(), ("--since", "2026-11-01", "--by", "class", "-o", "csv")])
def test_right_options_lead_to_the_cluster(arguments: tuple[str, ...]) -> None:
    done = CliRunner().invoke(ohsb, ["usage", *arguments, "--kubeconfig", "/nowhere"])
    assert (done.exit_code, done.stdout) == (1, "")
    assert "there is no file /nowhere" in done.stderr


@pytest.mark.parametrize(
    ("code", "words"),
    [(404, "sandboxusages.sandbox.openhands.dev is not installed"), (403, "rights to list sandboxusages")],
)
def test_a_refusal_names_the_remedy(code: int, words: str) -> None:
    assert words in refused(ApiError(code, "Reason", "404 page not found"), "sandboxusages")
