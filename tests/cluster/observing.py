"""The observer of failures beside tests that know no event loop."""

import asyncio
import queue
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from failures.observer import Observer
from sandbox_crds.kube import KubeClient

_START_SECONDS = 30


@contextmanager
def observing(kubeconfig: Path, namespace: str) -> Generator[Observer]:
    """An observer of the namespace, which follows it in a thread of its own."""
    started: queue.Queue[Observer] = queue.Queue()
    loop = asyncio.new_event_loop()
    ended = asyncio.Event()

    async def follow() -> None:
        client = await KubeClient.connect(str(kubeconfig), "cluster-tests")
        try:
            async with Observer.following(client, namespace) as observer:
                started.put(observer)
                await ended.wait()
        finally:
            await client.close()

    thread = threading.Thread(target=loop.run_until_complete, args=(follow(),), daemon=True)
    thread.start()
    try:
        yield started.get(timeout=_START_SECONDS)
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(_START_SECONDS)
        loop.close()
