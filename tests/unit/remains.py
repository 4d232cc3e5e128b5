"""What a process still holds of something that has gone."""

import gc
from asyncio import AbstractEventLoop
from collections import deque
from collections.abc import Iterable, Mapping
from functools import _lru_cache_wrapper  # pyright: ignore[reportPrivateUsage]
from types import CodeType, FrameType, FunctionType, ModuleType
from typing import Any, cast

_ELSEWHERE = (type, ModuleType, FrameType, CodeType, AbstractEventLoop, _lru_cache_wrapper)
"""Not followed: what all share. Caches of functions are bounded."""


def remains(root: object, texts: Iterable[str], beside: Iterable[object] = ()) -> list[str]:
    """Where below `root` there is a string with one of these texts, but not below `beside`; in no order.

    All that is held is followed: attributes, containers, closures and tasks.
    """
    wanted = tuple(texts)
    seen = {id(other) for other in beside}
    left: deque[tuple[object, str]] = deque([(root, type(root).__name__)])
    found: list[str] = []
    while left:
        holder, path = left.popleft()
        for name, held in _held(holder):
            where = f"{path}{name}"
            if isinstance(held, str | bytes):
                text = held if isinstance(held, str) else held.decode(errors="replace")
                if any(part in text for part in wanted):
                    found.append(where)
            elif id(held) not in seen and not isinstance(held, _ELSEWHERE):
                seen.add(id(held))
                left.append((held, where))
    return found


def _held(holder: Any) -> Iterable[tuple[str, object]]:
    if isinstance(holder, FunctionType):
        yield from (("()", cell) for cell in holder.__closure__ or ())
        return
    yield from ((" key", key) for key in _keys(holder))
    attributes: dict[str, object] = getattr(holder, "__dict__", {})
    yield from ((f".{name}", value) for name, value in attributes.items())
    yield from ((f" {type(holder).__name__}", value) for value in gc.get_referents(holder))


def _keys(holder: object) -> Iterable[object]:
    """Those of a mapping: the collector does not look at keys that are strings."""
    return list(cast("Mapping[object, object]", holder)) if isinstance(holder, Mapping) else ()
