"""Where the frames of a WebSocket server begin and end (RFC 6455, section 5.2), followed while they pass.

Nothing is checked for its own sake. What no server may send is no longer followed, and passes like everything else.
"""

_OPCODE = 0x0F
_CLOSE_OPCODE = 0x8
_RESERVED_OPCODES = frozenset({*range(0x3, 0x8), *range(0xB, 0x10)})
_MASKED = 0x80
_LENGTH_FOLLOWS = {126: 2, 127: 8}
"""Bytes that hold the length, by what stands in its place."""


class Frames:
    """The frames of one direction, fed with all of its bytes in any portions."""

    def __init__(self) -> None:
        self._left = 0  # bytes of a payload that are still to come
        self._header: bytes = b""  # the beginning of a header whose end is still to come
        self.closing = False
        """Whether a close frame has begun."""
        self.lost = False
        """Whether the bytes are no frames of a server."""

    @property
    def at_boundary(self) -> bool:
        """Whether the next byte begins a frame."""
        return not self._left and not self._header and not self.lost

    def feed(self, data: bytes) -> None:
        """These bytes pass."""
        size = len(data)
        if size <= self._left:
            self._left -= size
        elif not self.lost:
            if self._header:
                data, self._header = self._header + data, b""
                size = len(data)
            at = self._left
            while at < size:
                end = self._end(data, at)
                if end is None:
                    self._header = data[at:]
                    at = size
                else:
                    at = end
            self._left = at - size

    def until_boundary(self, data: bytes) -> int | None:
        """How many of these bytes, which come next, belong to a frame that has begun; None if all and more do.

        Only when not `at_boundary`.
        """
        if self.lost:
            return None
        if self._left:
            end = self._left
        else:
            found = self._end(self._header + data, 0)
            if found is None:
                return None
            end = found - len(self._header)
        return end if end <= len(data) else None

    def _end(self, data: bytes, at: int) -> int | None:
        """The end of the frame that begins there, or None while its header is not whole."""
        start = at + 2
        if len(data) < start:
            return None
        opcode = data[at] & _OPCODE
        length = data[at + 1]
        if opcode in _RESERVED_OPCODES or length & _MASKED:
            self.lost = True
            return len(data)
        more = _LENGTH_FOLLOWS.get(length)
        if more is not None:
            if len(data) < start + more:
                return None
            length = int.from_bytes(data[start : start + more])
            start += more
        if opcode == _CLOSE_OPCODE:
            self.closing = True
        return start + length
