"""A container's log as text that may be shown: redacted, with short lines. Pure."""

from collections.abc import Collection

from sandbox_common.redaction import redacted

LINE_BYTES = 16 * 1024
"""Of a line, before it is redacted. The rest is omitted."""
_MARGIN = 512
"""More than any secret: the end of what is kept of a long line may be the beginning of one."""
_KEPT = LINE_BYTES + _MARGIN
CUT = "… [the rest of this line is omitted]"


class LogText:
    """Makes text of the bytes of one log, line by line, since a secret never has two lines.

    Invalid UTF-8 is replaced; invisible characters are removed, so nothing steers a terminal.
    """

    def __init__(self, secrets: Collection[str]) -> None:
        self._secrets = secrets
        self._line = bytearray()
        """The beginning of a line whose end has not come."""
        self._is_cut = False

    def feed(self, data: bytes) -> bytes:
        """The lines that end in these bytes, in UTF-8."""
        *ends, rest = data.split(b"\n")
        lines: list[bytes] = []
        for end in ends:
            self._add(end)
            lines.append(self._taken())
        self._add(rest)
        return self._shown(lines)

    def end(self) -> bytes:
        """A last line without an end; empty if there is none."""
        return self._shown([self._taken()]) if self._line else b""

    def _add(self, part: bytes) -> None:
        room = _KEPT - len(self._line)
        self._is_cut |= len(part) > room
        self._line += part[:room]

    def _taken(self) -> bytes:
        """The line, which has ended. One that is too long is redacted already."""
        line, is_cut = bytes(self._line), self._is_cut
        self._line.clear()
        self._is_cut = False
        if not is_cut:
            return line
        return (redacted(line.decode(errors="replace"), self._secrets)[:-_MARGIN] + CUT).encode()

    def _shown(self, lines: list[bytes]) -> bytes:
        if not lines:
            return b""
        # All at once: of many short lines, each would cost as much.
        text = b"\n".join(lines).decode(errors="replace")
        return redacted(text, self._secrets).encode() + b"\n"
