"""Workers come back to what could not be dealt with, whatever it raised."""

import asyncio

import aiohttp
import pytest
from prometheus_client import REGISTRY

from sandbox_common.kube import ApiError
from sandbox_operator.watching.queue import WorkQueue
from sandbox_operator.watching.workers import work


class Queue(WorkQueue):
    """Notes what is to be tried again, and when at the earliest."""

    def __init__(self) -> None:
        super().__init__()
        self.retried: list[tuple[str, float]] = []

    def retry(self, key: str, at_least: float = 0.0) -> None:
        self.retried.append((key, at_least))


@pytest.mark.parametrize(
    ("error", "at_least", "errors"),
    [
        (ApiError(500, "InternalError", "no"), 0.0, 0),
        (ApiError(409, "Conflict", "no"), 0.0, 0),
        (ApiError(404, "NotFound", "no"), 0.0, 0),
        (ApiError(429, "TooManyRequests", "no", retry_after=7.0), 7.0, 0),
        (ApiError(403, "Forbidden", "no right"), 0.0, 1),
        (ApiError(422, "Invalid", "no"), 0.0, 1),
        (aiohttp.ClientConnectionError("no"), 0.0, 0),
        (TimeoutError(), 0.0, 0),
        (KeyError("a defect"), 0.0, 1),
    ],
)
async def test_a_key_that_failed_comes_again_and_the_others_go_on(
    error: Exception, at_least: float, errors: int
) -> None:
    before = counted_errors() or 0
    queue, seen = Queue(), list[str]()
    all_seen = asyncio.Event()

    async def reconcile(key: str) -> None:
        seen.append(key)
        if key == "bad":
            raise error
        all_seen.set()

    queue.add("bad")
    queue.add("good")
    worker = asyncio.create_task(work(queue, reconcile, "pool"))
    await asyncio.wait_for(all_seen.wait(), 5)
    # Once it is done with, a key can be worked on again.
    all_seen.clear()
    queue.add("good")
    await asyncio.wait_for(all_seen.wait(), 5)
    worker.cancel()
    with pytest.raises(asyncio.CancelledError):
        await worker
    assert seen == ["bad", "good", "good"]
    assert queue.retried == [("bad", at_least)]
    assert counted_errors() == before + errors


def counted_errors() -> float | None:
    """What the metric of failed passes over pools has counted."""
    return REGISTRY.get_sample_value("openhands_sandbox_operator_errors_total", {"kind": "pool"})
