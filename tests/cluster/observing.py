"""What follows the API server beside tests that know no event loop."""

import asyncio
import queue
import threading
from collections.abc import Callable, Generator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager
from pathlib import Path

from failures.observer import Observer
from sandbox_common.kube import KubeClient

_START_SECONDS = 30


def observing(kubeconfig: Path, namespace: str) -> AbstractContextManager[Observer]:
    """An observer of the namespace, which follows it in a thread of its own."""
    return beside(kubeconfig, lambda client: Observer.following(client, namespace))


@contextmanager
def beside[T](kubeconfig: Path, follow: Callable[[KubeClient], AbstractAsyncContextManager[T]]) -> Generator[T]:
    """What `follow` gives, whose tasks run in a thread of their own while the context lasts."""
    started: queue.Queue[T] = queue.Queue()
    loop = asyncio.new_event_loop()
    ended = asyncio.Event()

    async def run() -> None:
        client = await KubeClient.connect(str(kubeconfig), "cluster-tests")
        try:
            async with follow(client) as follower:
                started.put(follower)
                await ended.wait()
        finally:
            await client.close()

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),), daemon=True)
    thread.start()
    try:
        yield started.get(timeout=_START_SECONDS)
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(_START_SECONDS)
        loop.close()
