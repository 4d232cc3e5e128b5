"""How many bytes images have, as nodes report it.

The Event about a pull has the size. A node has those of its 50 largest images (`nodeStatusMaxImages`), also of images
that it had before, some seconds after a pull. With containerd, the size is that of the compressed layers, and layers
that images share count for each of them.
"""

from collections.abc import Collection, Mapping

_REPORTED = 50


class Sizes:
    """Of the images of one list, and of its pods. What is not known counts as much as the largest one that is."""

    def __init__(self, room: int | None) -> None:
        self.room = room
        self._known: dict[str, int] = {}

    def learn(self, images: Collection[str], on_node: Mapping[str, int]) -> None:
        """Take over what one node reports of these images."""
        self._known.update((image, size) for image, size in on_node.items() if image in images)

    def forget_others(self, images: Collection[str]) -> None:
        """Keep the sizes of these alone."""
        self._known = {image: size for image, size in self._known.items() if image in images}

    def of(self, image: str, settled: Collection[str] = (), on_node: Mapping[str, int] | None = None) -> int:
        """The bytes of an image; those of one that is `settled`, and that its node does not report, are few.

        While nothing is known, one image counts as all the room, so that they are pulled one by one.
        """
        if (size := self._known.get(image)) is not None:
            return size
        if image in settled and on_node and len(on_node) >= _REPORTED:
            return min(on_node.values())
        if image in settled and not self._known:
            # It was there before this process, which has no reason to give it up.
            return 0
        return max(self._known.values(), default=self.room or 0)

    def too_large(self, images: Collection[str]) -> list[tuple[str, int]]:
        """Those of these images that no node has room for, and their bytes."""
        large = [(image, size) for image, size in self._known.items() if self.room is not None and size > self.room]
        return [(image, size) for image, size in large if image in images]

    def known(self, image: str) -> int | None:
        """The bytes of an image, if a node has reported them."""
        return self._known.get(image)
