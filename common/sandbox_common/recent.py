"""Names that are remembered for as long as they are among the latest ones."""

_MOST = 10_000


def remember[T](names: dict[str, T], name: str, value: T) -> None:
    """Add this name. When there are too many, the oldest one is forgotten."""
    names[name] = value
    if len(names) > _MOST:
        del names[next(iter(names))]
