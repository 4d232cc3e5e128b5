"""Logs of both formats."""

import asyncio
import gc
import logging
import os
import re
from collections.abc import Iterator

import orjson
import pytest
import structlog

from local_cluster.paths import ROOT
from sandbox_common import logs
from sandbox_common.keys import MasterKeys


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


@pytest.mark.parametrize("format_", ["json", "console"])
def test_of_a_task_that_fails_no_argument_and_no_variable_is_told(
    format_: logs.LogFormat, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure("INFO", format_)
    keys = MasterKeys.of({1: os.urandom(32)})
    key = keys.session_key(keys.key_id("uid"))

    async def fails(headers: dict[str, str]) -> None:
        session_key = headers["X-Session-API-Key"]
        for _ in range(len(session_key)):
            await asyncio.sleep(0)
        raise RuntimeError(f"failed with a key of {len(session_key)} characters")

    async def forgets() -> None:
        task = asyncio.create_task(fails({"X-Session-API-Key": key}), name="forgotten")
        await asyncio.wait([task])

    async def logs_it() -> None:
        try:
            await fails({"X-Session-API-Key": key})
        except RuntimeError:
            structlog.get_logger("test").exception("died")

    # The one is told of by asyncio itself, once nobody can ask for its result any more.
    for run in (forgets, logs_it):
        asyncio.run(run())
        gc.collect()
        text = capsys.readouterr().out
        assert f"failed with a key of {len(key)} characters" in text
        assert "in fails" in text
        assert key not in text
        assert key[-43:] not in text


def test_libraries_log_through_the_same_handler(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("WARNING", "json")
    logging.getLogger("kopf.objects").info("handler succeeded")
    logging.getLogger("kopf.objects").warning("watch failed")
    structlog.get_logger("test").info("below the level")
    [line] = capsys.readouterr().out.splitlines()
    record = orjson.loads(line)
    assert (record["event"], record["level"], record["logger"]) == ("watch failed", "warning", "kopf.objects")


def test_every_logger_is_told_its_name() -> None:
    """By itself it takes the caller's frame for it, and a compiled function has none."""
    calls = [
        (str(path.relative_to(ROOT)), call)
        for package in ("crds", "common", "operator", "api_gateway", "kubectl_plugin")
        for path in (ROOT / package).rglob("*.py")
        for call in re.findall(r"get_logger\((.*?)\)", path.read_text())
    ]
    assert len(calls) > 20
    assert [(path, call) for path, call in calls if call != "__name__"] == []
