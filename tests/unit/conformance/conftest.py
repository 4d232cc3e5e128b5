"""The suite against a small server of which one thing is wrong."""

import json
import threading
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from typer.testing import CliRunner

from conformance.cli import app
from unit.conformance.boxes import Boxes
from unit.conformance.control_plane import API_KEY, OTHER_API_KEY
from unit.conformance.faults import Fault
from unit.conformance.wrong_server import wrong_server


@dataclass(frozen=True, slots=True)
class Served:
    """The running server."""

    url: str
    boxes: Boxes


@dataclass(frozen=True, slots=True)
class Run:
    """What came of one run; `left` is how many sandboxes are still on the server."""

    exit_code: int
    output: str
    junit: str
    report: dict[str, Any]
    left: int

    def tests(self, outcome: str) -> set[str]:
        """Names of the tests with this outcome, after their section."""
        return {f"{test['section']} {test['name']}" for test in self.report["tests"] if test["outcome"] == outcome}


type Serve = Callable[[Fault], AbstractContextManager[Served]]
type Conform = Callable[..., Run]


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    """Runs the server with a fault."""

    @contextmanager
    def running(fault: Fault) -> Generator[Served]:
        directory = tmp_path / "boxes"
        directory.mkdir()
        app = wrong_server(fault, directory)
        server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", ws="wsproto"))
        thread = threading.Thread(target=server.run)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        try:
            yield Served(f"http://127.0.0.1:{port}", app.state.boxes)
        finally:
            server.should_exit = True
            thread.join()

    return running


@pytest.fixture
def conform(serve: Serve, tmp_path: Path) -> Conform:
    """Runs sections of the suite against the server with a fault, all of them when none is named."""

    def run(
        fault: Fault, *sections: str, deselect: str = "minute", patience: float = 30, options: tuple[str, ...] = ()
    ) -> Run:
        report, junit = tmp_path / "report.json", tmp_path / "junit.xml"
        arguments = [argument for section in sections for argument in ("--section", section)]
        arguments += [
            "--other-api-key",
            OTHER_API_KEY,
            "--image",
            "image:1",
            "--start-timeout",
            str(patience),
            *options,
        ]
        arguments += ["--report", str(report), "--junit", str(junit)]
        with serve(fault) as served:
            arguments += ["--url", served.url, "--", "-k", f"not ({deselect})"]
            result = CliRunner().invoke(app, arguments, env={"RUNTIME_API_KEY": API_KEY}, catch_exceptions=False)
            left = len(served.boxes.of("one"))
        return Run(result.exit_code, result.output, junit.read_text(), json.loads(report.read_text()), left)

    return run
