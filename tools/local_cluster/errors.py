"""The error that reaches the user."""

from pathlib import Path

TAIL_LINES = 15


class ClusterError(Exception):
    """A failure for which there is a remedy.

    `what` names the step that failed, `log` the file with the details, `remedy` what to do next.
    """

    def __init__(self, what: str, *, log: Path | None = None, remedy: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.log = log
        self.remedy = remedy

    def __str__(self) -> str:
        """Several lines: what failed, the end of its log, the log's path, the remedy."""
        lines = [self.what]
        if self.log is not None:
            lines += [f"  | {line}" for line in tail(self.log, TAIL_LINES)]
            lines.append(f"  log: {self.log}")
        if self.remedy is not None:
            lines.append(f"  remedy: {self.remedy}")
        return "\n".join(lines)


def tail(path: Path, count: int) -> list[str]:
    """The last `count` non-empty lines of a text file; none when it is missing."""
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - 64 * 1024))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return []
    return [line for line in text.splitlines() if line.strip()][-count:]
