"""What is said of an image pull: by the operator in a condition, which stays as it is, by the gateway at each call."""

from datetime import datetime, timedelta

from sandbox_common import times
from sandbox_crds.models import Pull

_TOLERANCE = 0.25
_TOLERANCE_SECONDS = 2.0


def late_at(pull: Pull) -> datetime | None:
    """When the pull takes longer than predicted, beyond what a prediction can be wrong; None without a prediction."""
    if not pull.expected_seconds:
        return None
    seconds = pull.expected_seconds * (1 + _TOLERANCE) + _TOLERANCE_SECONDS
    return times.parse(pull.start_time) + timedelta(seconds=seconds)


def pull_words(pull: Pull, *, late: bool, left: float | None = None) -> str:
    """In whole sentences: image, size, node, since when, and how long the pull takes, or how many seconds are left."""
    size = f" (at most {_size(pull.size_bytes)} compressed)" if pull.size_bytes else ""
    node = f"Node {pull.node}" if pull.node else "The node"
    what = f"{node} has been pulling image {pull.image}{size} since {pull.start_time}."
    return " ".join(
        filter(None, (what, _prediction(pull.expected_seconds, late, left), "Then the agent server boots."))
    )


def pull_words_at(pull: Pull, now: datetime) -> str:
    """The same, of this moment."""
    since, late = times.parse(pull.start_time), late_at(pull)
    left = pull.expected_seconds - (now - since).total_seconds()
    return pull_words(pull, late=late is not None and now >= late, left=left)


def _prediction(seconds: int, late: bool, left: float | None) -> str:
    if not seconds:
        return ""
    if late:
        return f"It was expected to take about {_span(seconds)}, and takes longer."
    if left is not None and left >= 1:
        # The clock here may be behind the kubelet's.
        return f"About {_span(min(left, seconds))} are left."
    return f"It is expected to take about {_span(seconds)}."


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{max(1, round(seconds))} s"
    if seconds < 7200:
        return f"{round(seconds / 60)} min"
    return f"{round(seconds / 3600)} h"


def _size(size: int) -> str:
    if size < 1e6:
        return "1 MB"
    return f"{size / 1e6:.0f} MB" if size < 1e9 else f"{size / 1e9:.1f} GB"
