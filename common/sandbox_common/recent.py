"""A dict that keeps only the latest names."""

_MOST = 10_000


def remember[K, T](names: dict[K, T], name: K, value: T) -> None:
    """Add this name. If there are too many, the oldest one is removed."""
    names[name] = value
    if len(names) > _MOST:
        del names[next(iter(names))]
