"""Finds where the frames of a WebSocket server begin and end (RFC 6455, section 5.2), while they pass.

It checks nothing else. After bytes that no server may send, it stops following, and everything passes.
"""

_OPCODE = 0x0F
_CLOSE_OPCODE = 0x8
_RESERVED_OPCODES = frozenset({*range(0x3, 0x8), *range(0xB, 0x10)})
_MASKED = 0x80
_LENGTH_FOLLOWS = {126: 2, 127: 8}
"""Bytes of an extended length, by the value of the short one."""


class Frames:
    """The frames of one direction. Feed it all bytes, in any portions."""

    def __init__(self) -> None:
        self._left = 0  # missing bytes of a payload
        self._header: bytes = b""  # the beginning of an incomplete header
        self.closing = False
        """Whether a close frame has begun."""
        self.lost = False
        """Whether the bytes are not frames of a server."""

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
        """How many of these next bytes belong to the frame that has begun; None if it needs all of them and more.

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
        """The end of the frame that begins there, or None while its header is incomplete."""
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
