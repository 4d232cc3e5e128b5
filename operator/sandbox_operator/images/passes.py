"""Which images of a list sandboxes have used in the present pass through it: pure.

A list that does not fit the disk is kept in windows, in its order. An image that a sandbox has used makes room for the
next one. When all have been used, the next pass begins at the first one.
"""

from collections.abc import Collection, Iterator, Sequence


def encode(images: Sequence[str], used: Collection[str]) -> str:
    """The places of the used images in the list, counted from 1: `1-40,42`."""
    return ",".join(
        str(first) if first == last else f"{first}-{last}"
        for first, last in _ranges([place for place, image in enumerate(images, 1) if image in used])
    )


def decode(images: Sequence[str], text: str) -> set[str]:
    """The images at these places. What is not a place counts for nothing: somebody else may have written it."""
    used: set[str] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        if first.isdecimal() and (last.isdecimal() or not last) and len(part) <= 16:
            used.update(images[max(int(first) - 1, 0) : int(last or first)])
    return used


def _ranges(places: Sequence[int]) -> Iterator[tuple[int, int]]:
    first: int | None = None
    for place, following in zip(places, [*places, -1][1:], strict=True):
        first = place if first is None else first
        if following != place + 1:
            yield first, place
            first = None
