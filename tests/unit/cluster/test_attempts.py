"""The program of an attacker inside, against this machine's own loopback and limits, and how a run of it is judged."""

import ast
import json
import math
import resource
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from cluster import attempts, outcomes
from cluster.attempts import ATTEMPTS, CONTAINED, FAILED, OPEN, STOPPED
from cluster.outcomes import KINDS, differences, expectations, page, slowdown
from local_cluster.paths import ROOT

PROGRAM = Path(attempts.__file__)


def tried(*arguments: str, limit: Callable[[], None] | None = None) -> dict[str, Any]:
    """The record of the one attempt that is made."""
    command = [sys.executable, "-I", str(PROGRAM), "--hold", "0", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, preexec_fn=limit)
    assert done.returncode == 0, done.stderr
    [line] = done.stdout.splitlines()
    return json.loads(line)


def test_it_needs_only_the_standard_library() -> None:
    nodes = [*ast.walk(ast.parse(PROGRAM.read_text()))]
    imported = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in imported} <= sys.stdlib_module_names


def test_a_connection_is_open_or_says_by_what_it_was_stopped() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        aim = ("--groups", "network", "--only", "connect to: x", "--target", f"x=127.0.0.1:{port}")
        assert tried(*aim)["outcome"] == OPEN
    record = tried(*aim)
    assert (record["outcome"], record["by"]) == (STOPPED, "ECONNREFUSED")


def test_what_a_limit_stops_is_contained_and_what_nothing_stops_is_open() -> None:
    def limited(kind: int, number: int) -> None:
        resource.setrlimit(kind, (number, number))

    descriptors = tried(
        *("--groups", "exhaustion", "--only", "file descriptors"), limit=partial(limited, resource.RLIMIT_NOFILE, 64)
    )
    assert (descriptors["outcome"], descriptors["by"]) == (CONTAINED, "EMFILE")
    memory = ("--groups", "exhaustion", "--only", "memory", "--memory-mib", "256")
    assert tried(*memory, limit=partial(limited, resource.RLIMIT_AS, 128 << 20))["by"] == "ENOMEM"
    assert tried(*memory, "--memory-mib", "32")["outcome"] == OPEN
    assert tried("--groups", "exhaustion", "--only", "processes", "--processes", "3")["outcome"] == OPEN
    assert tried("--groups", "exhaustion", "--only", "inodes", "--files", "3")["outcome"] == OPEN


class Refusing(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_error(200 if self.headers["X-Session-API-Key"] == "own" else 401)

    do_POST = do_GET

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


@pytest.fixture
def refusing() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("name", "detail"),
    [
        ("requests without a key", "8 of 401"),
        ("requests with the key of a sandbox", "8 of 200"),
        ("connections without a key", "2 open, 0 ended"),
        ("slow bodies without a key", "2 open, 2 answered"),
    ],
)
def test_a_flood_is_bounded_and_counts_answers(
    name: str, detail: str, refusing: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SESSION_API_KEY", "own")
    # Requests end with their number, the others with the time.
    hold = "30" if name.startswith("requests") else "0.5"
    aim = ("--target", f"gateway=127.0.0.1:{refusing}", "--connections", "2", "--hold", hold)
    record = tried("--groups", "flood", "--only", name, *aim)
    assert (record["outcome"], record["detail"]) == (CONTAINED, detail)


ENDINGS = {
    "os.kill(os.getpid(), 9)": (CONTAINED, "SIGKILL"),
    "os.kill(os.getpid(), 31)": (STOPPED, "SIGSYS"),
    "open('/proc/none')": (STOPPED, "ENOENT"),
    "[][0]": (FAILED, "IndexError"),
    "time.sleep(60)": (FAILED, "time-out"),
}
_SCRIPT = """
import json, os, sys, time
sys.path.insert(0, sys.argv[1])
import attempts
attempts._PATIENCE = 0.3
attempts.ATTEMPTS["kernel"] = {one: lambda _, one=one: eval(one) for one in sys.argv[2:]}
for record in attempts.run(["kernel"], [], attempts.Aims(hold=0)):
    print(json.dumps(record))
"""


def test_each_way_in_which_an_attempt_ends_has_an_outcome() -> None:
    command = [sys.executable, "-I", "-c", _SCRIPT, str(PROGRAM.parent), *ENDINGS]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert {each["name"]: (each["outcome"], each["by"]) for each in found} == ENDINGS, done.stderr


_LATE = """
import sys, time
sys.path.insert(0, sys.argv[1])
import attempts
looked = []
real = attempts.select.select
def select(*arguments):
    looked.append(arguments)
    if len(looked) == 1:
        time.sleep(0.5)  # meanwhile it writes and ends
        return [], [], []
    return real(*arguments)
attempts.select.select = select
attempts.ATTEMPTS["kernel"] = {"one": lambda _: attempts.Result("open", "", "")}
print(next(attempts.run(["kernel"], [], attempts.Aims(hold=0)))["outcome"])
"""


def test_the_result_of_one_that_has_just_ended_is_read() -> None:
    command = [sys.executable, "-I", "-c", _LATE, str(PROGRAM.parent)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.stdout == "open\n", done.stderr


def test_one_that_reaches_something_is_open_whatever_the_others_say() -> None:
    def refused() -> None:
        raise PermissionError(1, "no")

    assert attempts.first_open([("a", refused), ("b", refused)]).outcome == STOPPED
    # On a machine whose kernel is gVisor's, it would be contained.
    reached = attempts.first_open([("a", refused), ("b", lambda: None)])
    assert (reached.outcome, reached.detail) == (OPEN, "b")


def test_each_attempt_has_an_expectation() -> None:
    names = {name for group in ATTEMPTS.values() for name in group} | {f"connect to: {n}" for n in outcomes.TARGETS}
    expected = [expectations(kind) for kind in KINDS]
    assert set().union(*expected) == names
    assert sum(map(len, ATTEMPTS.values())) == len(names) - len(outcomes.TARGETS), "each name is of one group"


@pytest.mark.parametrize(
    ("outcome", "expected", "said"),
    [
        (STOPPED, "stopped", []),
        (CONTAINED, "stopped or contained", []),
        (OPEN, "stopped or contained", ["mount: open (EPERM tmpfs), expected stopped or contained"]),
        (FAILED, "stopped", ["mount: failed (EPERM tmpfs), expected stopped"]),
        (None, "stopped", ["mount: not tried"]),
        (STOPPED, None, ["mount: nothing is expected of it"]),
    ],
)
def test_what_differs_from_the_expectation_is_named(outcome: str | None, expected: str | None, said: list[str]) -> None:
    records = {} if outcome is None else {"mount": {"outcome": outcome, "by": "EPERM", "detail": "tmpfs"}}
    assert differences(records, {} if expected is None else {"mount": expected}) == said


def samples(begin: int, number: int, seconds: float) -> list[tuple[float, float]]:
    """One request in each hundredth of a second; one in twenty takes twice as long."""
    return [(begin + at / 100, seconds * (2 if at % 20 == 0 else 1)) for at in range(number)]


@pytest.mark.parametrize(
    ("seconds", "least", "most"),
    [(0.004, 0.9, 1.1), (0.007, 1.6, 1.9), (0.012, 2.9, 3.1), (math.inf, math.inf, math.inf)],
)
def test_a_slowdown_is_that_of_the_p99(seconds: float, least: float, most: float) -> None:
    found = [*samples(0, 400, 0.004), *samples(10, 300, seconds)]
    assert least <= slowdown(found, [(0, 5)], (10, 13)) <= most


def test_one_bad_moment_decides_nothing() -> None:
    # A tenth of a second in which nothing is answered, in three seconds.
    found = [*samples(0, 400, 0.004), *samples(10, 300, 0.004)]
    found[450:460] = [(at, 0.5) for at, _ in found[450:460]]
    assert slowdown(found, [(0, 5)], (10, 13)) < 1.1


def test_the_page_of_the_docs_is_that_of_the_expected_outcomes() -> None:
    """It is written by a run, so what it lacks has not been tried."""
    seen: dict[str, dict[str, str]] = {}
    kinds: list[str] = []
    for line in Path(ROOT, "docs", "attempts.md").read_text().splitlines():
        name, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        if name == "Attempt":
            kinds = cells
        elif line.startswith("| "):
            for kind, cell in zip(kinds, cells, strict=True):
                seen.setdefault(kind, {})[name] = cell.partition(" (")[0]
    assert list(seen) == list(KINDS)
    for kind, found in seen.items():
        records = {name: {"outcome": outcome, "by": "", "detail": ""} for name, outcome in found.items() if outcome}
        assert differences(records, expectations(kind)) == []


def test_the_page_has_each_attempt_by_group_and_kind() -> None:
    record = {"group": "kernel", "outcome": STOPPED, "by": "EPERM"}
    text = page({"default": {"bpf": record}, "gVisor": {"bpf": {**record, "by": ""}, "perf": record}})
    assert "| Attempt | default | gVisor |" in text
    assert "| bpf | stopped (EPERM) | stopped |" in text
    assert "| perf |  | stopped (EPERM) |" in text
