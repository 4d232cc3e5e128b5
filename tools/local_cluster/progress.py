"""Progress for people at a terminal or with a CI log: a line for each step, and repeated lines in long ones."""

import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TextIO


class Progress:
    """Prints steps with the time they took; safe to use from several threads.

    After each `beat` seconds, a running step says what it is doing.
    """

    def __init__(self, out: TextIO | None = None, beat: float = 15.0) -> None:
        self._out = out if out is not None else sys.stderr
        self._beat = beat
        self._lock = threading.Lock()

    def say(self, text: str) -> None:
        """Print one line."""
        with self._lock:
            print(text, file=self._out, flush=True)

    @contextmanager
    def step(self, title: str, detail: Callable[[], str] = lambda: "") -> Generator[None]:
        """Run the block as one step, whose line comes at its end. `detail` says what a long step is doing."""
        started = time.monotonic()
        ended = threading.Event()

        def beat() -> None:
            while not ended.wait(self._beat):
                now = detail()
                self.say(f"  ...  {elapsed(time.monotonic() - started)}  {title}{f': {now}' if now else ''}")

        watcher = threading.Thread(target=beat, daemon=True)
        watcher.start()
        outcome = "FAIL"
        try:
            yield
            outcome = "ok"
        finally:
            ended.set()
            watcher.join()
            self.say(f"  {outcome:<4} {elapsed(time.monotonic() - started)}  {title}")


def elapsed(seconds: float) -> str:
    """A duration in a fixed width of eight characters, such as `   0.4 s` or `  4m07s`."""
    if seconds < 60:
        return f"{seconds:6.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes:4d}m{rest:02d}s"
