"""W3C Trace Context: the traces of which requests are a part."""

import re
from dataclasses import dataclass

_TRACE_PARENT = re.compile(rb"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-[^,]*)?")
_SAMPLED = 1
_KNOWN_FLAGS = 3
"""`sampled` and `random`. Whoever changes a traceparent clears the others (section 3.2.2.5)."""


@dataclass(slots=True)
class Trace:
    """A sampled trace, as the sender of a request names it. Ids are hexadecimal."""

    trace_id: str
    parent_id: str
    flags: int
    span_id: str = ""
    """Of the span that will be made of the request; "" if there will be none."""

    @property
    def parent(self) -> str:
        """The `traceparent` of the sender."""
        return f"00-{self.trace_id}-{self.parent_id}-{self.flags:02x}"

    @property
    def own(self) -> str:
        """The `traceparent` of the request's span."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags:02x}"


def sampled_trace(trace_parent: bytes) -> Trace | None:
    """The trace in a `traceparent` whose sender records it, else None.

    It reads version 00, and later versions that begin like it (W3C Trace Context, sections 3.2.2 and 4.3).
    """
    match = _TRACE_PARENT.fullmatch(trace_parent)
    if match is None or trace_parent.startswith(b"ff") or (trace_parent.startswith(b"00") and len(trace_parent) != 55):
        return None
    flags = int(match[3], 16)
    return Trace(match[1].decode(), match[2].decode(), flags & _KNOWN_FLAGS) if flags & _SAMPLED else None
