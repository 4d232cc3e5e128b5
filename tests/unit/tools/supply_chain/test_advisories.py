"""What follows from known vulnerabilities, and from a source that does not know them."""

import json
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from supply_chain import advisories
from supply_chain.advisories import CANARY, Accepted, Finding, Report, SourceError
from supply_chain.locks import Lock, Pin

TODAY = date(2026, 3, 1)
FIXABLE = Finding("shipped", "1.0", ("PYSEC-1", "CVE-1"), ("1.1",))
LOCKED: dict[Lock, Sequence[Pin]] = {
    Lock.CONTROLLER: [Pin("shipped", "1.0")],
    Lock.AGENT_SERVER: [Pin("agents", "1.0")],
    Lock.BUILD_TOOLS: [Pin("builder", "1.0")],
    Lock.DEVELOPMENT: [Pin("shipped", "1.0"), Pin("tester", "1.0")],
    Lock.APP: [Pin("app", "1.0")],
}


ONE_LOCK = {Lock.CONTROLLER: LOCKED[Lock.CONTROLLER]}


def accepted(until: date, *, package: str = "shipped", id_: str = "CVE-1") -> Accepted:
    return Accepted(package=package, id=id_, reason="The function in question is never called.", until=until)


@pytest.mark.parametrize("package", ["shipped", "agents"])
def test_a_vulnerability_in_an_image_that_can_be_fixed_fails(package: str) -> None:
    finding = Finding(package, "1.0", ("PYSEC-1",), ("1.1",))
    (failure,) = advisories.judge(Report((finding,)), LOCKED, [], TODAY).failures
    assert all(part in failure for part in (package, "PYSEC-1", "1.1", "lock.txt", "make lock"))


@pytest.mark.parametrize(
    "finding",
    [
        pytest.param(Finding("shipped", "1.0", ("PYSEC-1",), ()), id="no fix"),
        pytest.param(Finding("builder", "1.0", ("PYSEC-1",), ("1.1",)), id="build tool"),
        pytest.param(Finding("tester", "1.0", ("PYSEC-1",), ("1.1",)), id="for tests"),
    ],
)
def test_others_warn(finding: Finding) -> None:
    verdict = advisories.judge(Report((finding,)), LOCKED, [], TODAY)
    assert verdict.failures == []
    assert "PYSEC-1" in "".join(verdict.warnings)


@pytest.mark.parametrize("id_", FIXABLE.ids)
def test_what_is_accepted_passes_until_its_last_day(id_: str) -> None:
    entry = accepted(TODAY, id_=id_)
    verdict = advisories.judge(Report((FIXABLE,)), LOCKED, [entry], TODAY)
    assert verdict.failures == []
    assert entry.reason in "".join(verdict.warnings)
    late = advisories.judge(Report((FIXABLE,)), LOCKED, [entry], TODAY + timedelta(days=1))
    assert "It was accepted until 2026-03-01" in "".join(late.failures)


def test_what_is_accepted_of_another_package_changes_nothing() -> None:
    verdict = advisories.judge(Report((FIXABLE,)), LOCKED, [accepted(TODAY, package="other")], TODAY)
    assert len(verdict.failures) == 1
    assert "no longer found" in "".join(verdict.warnings)


def test_a_package_that_the_source_does_not_know_is_named() -> None:
    assert advisories.judge(Report(unknown=("private",)), LOCKED, [], TODAY).warnings == [
        "The source knows nothing of private."
    ]


ENTRY = """
[[accepted]]
package = "a"
id = "PYSEC-1"
reason = "The function in question is never called."
until = 2026-04-01
"""


def test_reads_what_is_accepted() -> None:
    (entry,) = advisories.read_accepted(ENTRY, TODAY)
    assert (entry.package, entry.id, entry.until) == ("a", "PYSEC-1", date(2026, 4, 1))
    assert advisories.read_accepted(advisories.ACCEPTED.read_text(), date.today()) is not None


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("until = 2026-04-01", "", "until"),
        ("2026-04-01", "2027-04-01", "until"),
        ("2026-04-01", '"soon"', "until"),
        ("The function in question is never called.", "fine", "reason"),
        ('package = "a"', 'pakage = "a"', "package"),
        ("until", "\nuntill", "until"),
        ("[[accepted]]", "[[accepted", "line 2"),
    ],
)
def test_refuses_to_accept_without_a_reason_and_an_end(old: str, new: str, named: str) -> None:
    with pytest.raises(ValueError, match=rf"accepted-advisories\.toml.*{named}"):
        advisories.read_accepted(ENTRY.replace(old, new), TODAY)


def test_each_pin_is_asked_for_once() -> None:
    one, two, three = Pin("a", "1"), Pin("a", "2"), Pin("b", "1")
    assert list(advisories.groups([[one, three], [two, three], [one]])) == [[one, three], [two], []]


type Answer = Callable[[dict[str, Any]], tuple[int, str]]


@contextmanager
def osv_server(answer: Answer) -> Generator[str]:
    """A server of OSV's query; `answer` gives status and body."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, body = answer(query)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1/query"
        finally:
            server.shutdown()
            thread.join()


def vulnerable(*names: str) -> Answer:
    """Whoever is of these names has one vulnerability."""

    def answer(query: dict[str, Any]) -> tuple[int, str]:
        name = query["package"]["name"]
        if name not in names:
            return 200, "{}"
        events = [{"introduced": "0"}, {"fixed": "9.9"}]
        affected = [{"package": query["package"], "ranges": [{"type": "ECOSYSTEM", "events": events}]}]
        return 200, json.dumps({"vulns": [{"id": f"PYSEC-{name}", "aliases": ["CVE-1"], "affected": affected}]})

    return answer


def test_asks_an_osv_server() -> None:
    with osv_server(vulnerable(CANARY.name, "shipped")) as url:
        report = advisories.ask(ONE_LOCK, url)
    (finding,) = report.findings
    assert (finding.package, finding.version, finding.fixed_in) == ("shipped", "1.0", ("9.9",))
    assert set(finding.ids) == {"PYSEC-shipped", "CVE-1"}
    assert advisories.judge(report, LOCKED, [], TODAY).failures


def test_a_source_that_knows_nothing_is_not_taken_for_good_news() -> None:
    with osv_server(vulnerable()) as url, pytest.raises(SourceError, match="does not know"):
        advisories.ask(ONE_LOCK, url)


def test_a_source_that_breaks_off_is_not_taken_for_good_news() -> None:
    known = vulnerable(CANARY.name)
    with (
        osv_server(lambda query: known(query) if query["package"]["name"] == CANARY.name else (503, "")) as url,
        pytest.raises(SourceError),
    ):
        advisories.ask(ONE_LOCK, url)


@pytest.mark.parametrize("text", ["", "<html>Log in</html>", "{}", "[]", '{"dependencies": [{"vulns": [{}]}]}'])
def test_a_report_that_is_none_is_not_taken_for_good_news(text: str) -> None:
    with pytest.raises(SourceError):
        advisories.decode(text)


def test_reads_what_the_source_does_not_know() -> None:
    text = '{"dependencies": [{"name": "private", "skip_reason": "not found"}], "fixes": []}'
    assert advisories.decode(text) == Report(unknown=("private",))
