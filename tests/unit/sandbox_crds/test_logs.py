"""Logs of both formats."""

import logging
from collections.abc import Iterator

import orjson
import pytest
import structlog

from sandbox_crds import logs


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def fail(secret: str) -> None:
    raise RuntimeError(f"failed with a secret of {len(secret)} characters")


@pytest.mark.parametrize("format_", ["json", "console"])
def test_a_traceback_has_no_values_of_variables(format_: logs.LogFormat, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("INFO", format_)
    log: structlog.stdlib.BoundLogger = structlog.get_logger("test")
    try:
        fail("hunter2")
    except RuntimeError:
        log.exception("died", sandbox="one")
    text = capsys.readouterr().out
    assert "failed with a secret of 7 characters" in text
    assert "in fail" in text
    assert 'secret = "hunter2"' not in text.replace("'", '"')


def test_libraries_log_through_the_same_handler(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("WARNING", "json")
    logging.getLogger("kopf.objects").info("handler succeeded")
    logging.getLogger("kopf.objects").warning("watch failed")
    structlog.get_logger("test").info("below the level")
    [line] = capsys.readouterr().out.splitlines()
    record = orjson.loads(line)
    assert (record["event"], record["level"], record["logger"]) == ("watch failed", "warning", "kopf.objects")
