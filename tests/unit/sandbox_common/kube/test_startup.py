"""A process that waits for the API server says so, and for how long."""

import asyncio

import pytest
import structlog

from sandbox_common.kube import startup


async def test_a_long_wait_is_logged_and_a_short_one_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    with structlog.testing.capture_logs() as logs:
        await startup.until_known(asyncio.sleep(0), "https://198.51.100.1")
        assert logs == []
        monkeypatch.setattr(startup, "_SAY_AFTER_SECONDS", 0.001)
        monkeypatch.setattr(startup, "_SAY_EVERY_SECONDS", 0.001)
        known = asyncio.Event()

        async def wait() -> None:
            await known.wait()

        waiting = asyncio.create_task(startup.until_known(wait(), "https://198.51.100.1"))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        known.set()
        await waiting
    assert {entry["server"] for entry in logs} == {"https://198.51.100.1"}
    assert all(entry["event"].startswith("waiting for the Kubernetes API server") for entry in logs)


async def test_what_goes_wrong_is_raised_and_a_cancelled_wait_ends() -> None:
    async def fail() -> None:
        raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        await startup.until_known(fail(), "")
    waiting = asyncio.create_task(startup.until_known(asyncio.sleep(60), ""))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
