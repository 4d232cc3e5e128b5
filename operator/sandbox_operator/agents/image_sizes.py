"""Sizes of images that nodes pull, and that no kubelet has reported yet: a replica of the gateway asks the registry."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from sandbox_common.recent import remember
from sandbox_crds.models import Sandbox
from sandbox_operator.agents.background import BackgroundRequests
from sandbox_operator.watching.pulls import PullUnderWay

type Ask = Callable[[str, str, str], Awaitable[int]]
"""Gives the size of an image for a sandbox of this owner and class; 0: unknown."""

_WORTH_ASKING = timedelta(seconds=2)
"""A registry may count what it is asked: a pull that is over sooner is not worth it."""


class ImageSizes:
    """Asks once for each image. `answered` is called with the name of the sandbox that needed it."""

    def __init__(self, ask: Ask | None, answered: Callable[[str], None]) -> None:
        self._ask = ask
        self._answered = answered
        self._requests = BackgroundRequests()
        self._known: dict[str, int] = {}

    @property
    def known(self) -> Mapping[str, int]:
        """In bytes, by image; 0: nobody knows it."""
        return self._known

    def asked(self, sandbox: Sandbox, pull: PullUnderWay, now: datetime) -> PullUnderWay:
        """The pull, and whether the size of its image is being asked for."""
        if self._ask is None or pull.size or pull.image in self._known or now < pull.since + _WORTH_ASKING:
            return pull
        ask = partial(self._ask, pull.image, sandbox.spec.owner, sandbox.spec.class_name)
        return replace(pull, is_asked=self._requests.begin(pull.image, ask, partial(self._over, sandbox, pull.image)))

    def _over(self, sandbox: Sandbox, image: str, size: int | None) -> None:
        remember(self._known, image, size or 0)
        self._answered(sandbox.metadata.name)
