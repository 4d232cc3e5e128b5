"""Tunes the garbage collector for a process that fills large caches once and then changes them slowly.

Python's collector counts objects, not bytes. A reference cycle (a refused request, an event in kopf) has a few hundred
objects, but may hold a body of megabytes. The collector waits for tens of thousands of objects, which may hold
gigabytes. So this module also watches memory, and returns freed memory to the system, which the C library would keep.
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
"""Maximum between two collections: one during much work leaves objects that become garbage only later."""
GROWTH = 1.05
"""Growth of memory since the last collection that leads to another one."""
PASSED_BYTES = 16 * 1024 * 1024
_SHARE = 0.02
"""Maximum share of the time for collections because of growth."""

_PAGE = resource.getpagesize()
_STATM = Path("/proc/self/statm")
_malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
"""A function of glibc."""


class _Passed:
    bytes = 0


def postpone() -> None:
    """Collect nothing until `settle`. While caches are filled, a collection searches much and finds little."""
    gc.disable()


def settle() -> None:
    """Exclude the present objects from collections. They live long, and searching them stops the process for 0.1 s."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 1000)
    gc.enable()


def passed(size: int) -> None:
    """Note that `size` bytes are no longer needed but may be in a cycle. Collects after enough of them."""
    _Passed.bytes += size
    if _Passed.bytes >= PASSED_BYTES:
        _Passed.bytes = 0
        gc.collect()


def resident() -> int:
    """Resident memory of this process in bytes."""
    return int(_STATM.read_text().split()[1]) * _PAGE


async def tend() -> None:
    """Collect and return memory after growth, and from time to time, until cancelled.

    Each collection searches all generations, because objects in use get into the oldest one quickly.
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
