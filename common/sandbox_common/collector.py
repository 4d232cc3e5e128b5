"""The garbage collector, tuned to a process that fills large caches once and then changes them a little at a time.

It counts objects, not bytes. What holds itself in a circle (a refused request, an event in kopf) is a few hundred
objects, which may hold a body of megabytes; tens of thousands of them, which it waits for, hold gigabytes. So memory is
looked at, too. What is freed then is given back to the system; the C library keeps it otherwise.
"""

import asyncio
import contextlib
import ctypes
import gc
import resource
import time
from pathlib import Path

LOOK_SECONDS = 1.0
LONGEST_SECONDS = 60.0
"""Between two searches: one that was made in the middle of much work has left what is done with only now."""
GROWTH = 1.05
"""Of memory, since the last search: more is worth another one."""
PASSED_BYTES = 16 * 1024 * 1024
_SHARE = 0.02
"""Of the time that searches because of growth may take."""

_PAGE = resource.getpagesize()
_STATM = Path("/proc/self/statm")
_malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
"""Of glibc."""


class _Passed:
    bytes = 0


def postpone() -> None:
    """Collect nothing until `settle`: while caches are filled hardly anything becomes garbage, and all is searched."""
    gc.disable()


def settle() -> None:
    """Leave alone what lives now: it lives long, and searching it each time stops the process for 0.1 s."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 1000)
    gc.enable()


def passed(size: int) -> None:
    """Something of so many bytes is done with, and may be held in a circle: search when it comes to much."""
    _Passed.bytes += size
    if _Passed.bytes >= PASSED_BYTES:
        _Passed.bytes = 0
        gc.collect()


def resident() -> int:
    """Bytes of this process that are in memory."""
    return int(_STATM.read_text().split()[1]) * _PAGE


async def tend() -> None:
    """Search and give back when memory has grown, and now and then, until cancelled.

    All that is not frozen is searched: what a search of the young finds in use counts as old at once.
    """
    least, ended, took = resident(), time.monotonic(), 0.0
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        with contextlib.suppress(OSError):  # no descriptor is free for the look
            size, began = resident(), time.monotonic()
            least = min(least, size)
            grown = size > GROWTH * least and took < _SHARE * (began - ended)
            if grown or began - ended >= LONGEST_SECONDS:
                gc.collect()
                if _malloc_trim is not None:
                    _malloc_trim(0)
                least, ended = resident(), time.monotonic()
                took = ended - began
