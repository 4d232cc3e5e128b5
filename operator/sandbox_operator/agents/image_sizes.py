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
_FIRST_PAUSE, _LONGEST_PAUSE = timedelta(seconds=5), timedelta(minutes=5)
"""What nobody knew may be known later: the registry was slow, or a Secret was missing. The pause doubles each time."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """`size` 0: nobody knew it; it is asked for again after the `pause`."""

    size: int
    asked: datetime
    pause: timedelta

    def is_due(self, now: datetime) -> bool:
        """Whether to ask again."""
        return not self.size and now >= self.asked + self.pause


class ImageSizes:
    """Asks for each image of an owner. `answered` is called with the name of the sandbox that needed it.

    If nobody knew, `look_again` is called with this name and the seconds after which it is worth asking once more.
    An owner's Secrets decide what is found, so that one owner learns nothing from the answer to another.
    """

    def __init__(
        self, ask: Ask | None, answered: Callable[[str], None], look_again: Callable[[str, float], None]
    ) -> None:
        self._ask = ask
        self._answered = answered
        self._look_again = look_again
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
        if answer and not answer.is_due(now):
            return pull
        ask = partial(self._ask, pull.image, sandbox.spec.owner, sandbox.spec.class_name)
        return replace(pull, is_asked=self._requests.begin(key, ask, partial(self._over, sandbox, pull.image, now)))

    def _over(self, sandbox: Sandbox, image: str, asked: datetime, size: int | None) -> None:
        key = (sandbox.spec.owner, image)
        before = self._answers.get(key)
        pause = min(2 * before.pause, _LONGEST_PAUSE) if before else _FIRST_PAUSE
        remember(self._answers, key, _Answer(size or 0, asked, pause))
        self._answered(sandbox.metadata.name)
        if not size:
            self._look_again(sandbox.metadata.name, pause.total_seconds())
