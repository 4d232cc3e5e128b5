"""Sizes of images that nodes pull, and that no kubelet has reported yet: a replica of the gateway asks the registry."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
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


_ASKED_AGAIN = timedelta(minutes=5)
"""After so long, what nobody knew may be known: a Secret was missing, or the registry did not answer."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """0: nobody knows the size."""

    size: int
    asked: datetime


class ImageSizes:
    """Asks for each image of an owner. `answered` is called with the name of the sandbox that needed it.

    An owner's Secrets decide what is found, so that one owner learns nothing from the answer to another.
    """

    def __init__(self, ask: Ask | None, answered: Callable[[str], None]) -> None:
        self._ask = ask
        self._answered = answered
        self._requests = BackgroundRequests()
        self._answers: dict[tuple[str, str], _Answer] = {}

    def of(self, owner: str, image: str) -> int:
        """In bytes; 0: not known."""
        answer = self._answers.get((owner, image))
        return answer.size if answer else 0

    def asked(self, sandbox: Sandbox, pull: PullUnderWay, now: datetime) -> PullUnderWay:
        """The pull, and whether the size of its image is being asked for."""
        if self._ask is None or pull.size or now < pull.since + _WORTH_ASKING:
            return pull
        key = (sandbox.spec.owner, pull.image)
        answer = self._answers.get(key)
        if answer and (answer.size or now < answer.asked + _ASKED_AGAIN):
            return pull
        ask = partial(self._ask, pull.image, sandbox.spec.owner, sandbox.spec.class_name)
        return replace(pull, is_asked=self._requests.begin(key, ask, partial(self._over, sandbox, pull.image, now)))

    def _over(self, sandbox: Sandbox, image: str, asked: datetime, size: int | None) -> None:
        remember(self._answers, (sandbox.spec.owner, image), _Answer(size or 0, asked))
        self._answered(sandbox.metadata.name)
