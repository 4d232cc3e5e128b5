"""Server-sent events of the pages: what has changed since the last one."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractContextManager
from typing import Any

import orjson

from sandbox_common.kube import FAILURES
from sandbox_common.waiting import set_within
from sandbox_gateway.console.rendering import fragment
from sandbox_gateway.console.selection import Row, Selection
from sandbox_gateway.contract.errors import NoSandboxError

PAUSE_SECONDS = 1.0
"""Between two updates of one page."""
LOOK_SECONDS = 5.0
"""Between two looks at what changes without a change of a Sandbox. They also show that the connection still exists."""

type Make = Callable[[], Awaitable[bytes | None]]
"""Makes the next event's data; None if the page needs none."""


async def updates(make: Make, watching: Callable[[], AbstractContextManager[asyncio.Event]]) -> AsyncGenerator[bytes]:
    """What `make` gives, first at once and then after changes, until the sandbox is gone."""
    with watching() as changed:
        yield b"retry: 1000\n\n"
        while True:
            changed.clear()
            try:
                data = await make()
            except NoSandboxError:
                return
            except FAILURES:
                data = None  # the next look may succeed
            yield b": \n\n" if data is None else b"data: " + data + b"\n\n"
            if await set_within(changed, LOOK_SECONDS):
                # The changes that follow closely are part of the next update.
                await asyncio.sleep(PAUSE_SECONDS)


class TableUpdates:
    """What the page of a table does not show yet: the order of its rows, and those that have changed."""

    def __init__(self) -> None:
        self._sent: dict[str, Row] = {}
        self._last = b""

    def next(self, selection: Selection, *, all_owners: bool) -> bytes | None:
        """The data of the next event; None if nothing has changed."""
        around: dict[str, Any] = {
            "order": [row.runtime_id for row in selection.rows],
            "summary": fragment("summary.html", selection=selection).strip(),
            "pages": fragment("pages.html", selection=selection),
        }
        changed = [row for row in selection.rows if self._sent.get(row.runtime_id) != row]
        self._sent = {row.runtime_id: row for row in selection.rows}
        frame = orjson.dumps(around)
        if not changed and frame == self._last:
            return None
        self._last = frame
        rows = {row.runtime_id: fragment("row.html", row=row, all_owners=all_owners) for row in changed}
        return orjson.dumps({**around, "rows": rows})
