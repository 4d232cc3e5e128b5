"""The audit log: lines on standard output, in order, each written before the answer that it is about leaves.

So if the process is killed, only calls without an answer may lack their line. A line that cannot be written at once is
written in a thread, so a slow reader does not stop the process. Answers wait for their lines, but not for long, and all
that a slow reader costs is counted.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter

from sandbox_gateway.process.metrics import AUDIT_WAIT_SECONDS, LATE_AUDIT_LINES, LOST_AUDIT_LINES
from sandbox_gateway.process.stdout import pieces

QUEUE = 4096
"""Lines that wait. Each has at most 4 KiB."""
_BATCH = 64
_PATIENCE_SECONDS = 1.0
"""The longest wait of an answer for its line. Clients give up 2 s after the longest hold of a call."""

type _Line = tuple[bytes, asyncio.Future[None]]


class AuditLog:
    """Writes lines by calls of `write_now`, or of `write` in a thread of its own. Use it in one event loop.

    `write_now` writes a whole line, or nothing and returns False if that would take time.
    """

    def __init__(
        self,
        write: Callable[[bytes], None],
        write_now: Callable[[bytes], bool] = lambda _: False,
        patience_seconds: float = _PATIENCE_SECONDS,
    ) -> None:
        self._write = write
        self._write_now = write_now
        self._patience = patience_seconds
        # The default executor also resolves names, which may take all of its threads for seconds.
        self._thread = ThreadPoolExecutor(1, "audit-log")
        self._queue = deque[_Line]()
        self._writing: asyncio.Task[None] | None = None

    def put(self, line: bytes) -> asyncio.Future[None] | None:
        """Write the line after the earlier ones; the future is done when it is written or lost. None: it is lost."""
        written = self.offer(line, QUEUE)
        if written is None:
            LOST_AUDIT_LINES.inc()
        return written

    def offer(self, line: bytes, room: int) -> asyncio.Future[None] | None:
        """As `put`, but the line is left out, and not counted, if `room` lines or more are waiting."""
        if len(self._queue) >= room:
            return None
        loop = asyncio.get_running_loop()
        written: asyncio.Future[None] = loop.create_future()
        if self._writing is None and self._write_now(line):
            written.set_result(None)
            return written
        self._queue.append((line, written))
        if self._writing is None:
            self._writing = loop.create_task(self._write_queue())
        return written

    async def write(self, line: bytes) -> None:
        """Return when the line is written or lost, or after a second."""
        began = perf_counter()
        written = self.put(line)
        if written is None:
            return
        if not written.done():
            await asyncio.wait({written}, timeout=self._patience)
        AUDIT_WAIT_SECONDS.observe(perf_counter() - began)
        if not written.done():
            LATE_AUDIT_LINES.inc()

    async def drain(self) -> None:
        """Return when no line is waiting."""
        if self._writing is not None:
            await asyncio.wait({self._writing})

    async def _write_queue(self) -> None:
        try:
            while self._queue:
                batch = [self._queue.popleft() for _ in range(min(_BATCH, len(self._queue)))]
                lines = [line for line, _ in batch]
                lost = await asyncio.get_running_loop().run_in_executor(self._thread, self._write_all, lines)
                LOST_AUDIT_LINES.inc(lost)
                for _, written in batch:
                    written.set_result(None)
        finally:
            self._writing = None

    def _write_all(self, lines: Sequence[bytes]) -> int:
        """The number of lines that could not be written."""
        lost = 0
        for piece in pieces(lines):
            try:
                self._write(piece)
            except OSError:  # there is no reader, or no room on its disk
                lost += piece.count(b"\n")
        return lost
