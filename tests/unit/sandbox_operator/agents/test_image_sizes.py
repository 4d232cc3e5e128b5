"""A registry is asked for each image whose pull lasts, and never for others."""

import asyncio
from dataclasses import replace
from datetime import timedelta

from sandbox_operator.agents.image_sizes import ImageSizes
from sandbox_operator.watching.pulls import PullUnderWay
from unit.sandbox_operator.samples import NOW, sandbox

PULL = PullUnderWay("a:1", "node-1", NOW)
LONG = NOW + timedelta(seconds=2)


class Gateway:
    """Answers once it is allowed to."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.asked: list[tuple[str, str, str]] = []
        self.answered: list[str] = []
        self.again: list[tuple[str, float]] = []
        self.sizes = ImageSizes(self.ask, self.answered.append, self.look_again)

    def look_again(self, name: str, seconds: float) -> None:
        self.again.append((name, seconds))

    async def ask(self, image: str, owner: str, class_name: str) -> int:
        self.asked.append((image, owner, class_name))
        if self.size < 0:
            raise ConnectionError
        return self.size

    async def settled(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)


async def test_a_pull_that_lasts_is_asked_for_once() -> None:
    gateway, one = Gateway(812), sandbox(owner="team")
    for _ in range(3):
        assert gateway.sizes.asked(one, PULL, LONG) == replace(PULL, is_asked=True)
    await gateway.settled()
    assert gateway.asked == [("a:1", "team", "default")]
    assert (gateway.sizes.of("team", "a:1"), gateway.sizes.of("team", "b:1")) == (812, 0)
    assert (gateway.answered, gateway.again) == (["one"], [])
    assert gateway.sizes.asked(one, PULL, LONG) == PULL


async def test_what_the_gateway_does_not_know_is_not_asked_for_at_once_again() -> None:
    for size in (0, -1):
        gateway = Gateway(size)
        gateway.sizes.asked(sandbox(), PULL, LONG)
        await gateway.settled()
        assert gateway.answered == ["one"]
        assert gateway.sizes.asked(sandbox(), PULL, LONG) == PULL
        assert len(gateway.asked) == 1


async def test_what_nobody_knew_is_asked_for_again_after_pauses_that_grow() -> None:
    gateway = Gateway(0)
    at = LONG
    for pause in (5, 10, 20, 40, 80, 160, 300, 300):
        assert gateway.sizes.asked(sandbox(), PULL, at).is_asked
        await gateway.settled()
        assert gateway.again.pop() == ("one", pause)
        assert gateway.sizes.asked(sandbox(), PULL, at + timedelta(seconds=pause - 1)) == PULL
        at += timedelta(seconds=pause)
    gateway.size = 812
    assert gateway.sizes.asked(sandbox(), PULL, at).is_asked
    await gateway.settled()
    assert gateway.sizes.of(sandbox().spec.owner, "a:1") == 812
    assert gateway.sizes.asked(sandbox(), PULL, at + timedelta(days=1)) == PULL
    assert len(gateway.asked) == 9


async def test_each_owner_has_answers_of_its_own() -> None:
    gateway, without_a_secret, with_one = Gateway(0), sandbox(owner="a"), sandbox(owner="b")
    gateway.sizes.asked(without_a_secret, PULL, LONG)
    await gateway.settled()
    gateway.size = 812
    assert gateway.sizes.asked(with_one, PULL, LONG).is_asked
    await gateway.settled()
    assert (gateway.sizes.of("a", "a:1"), gateway.sizes.of("b", "a:1")) == (0, 812)


async def test_a_short_pull_and_a_known_size_need_no_question() -> None:
    gateway = Gateway(1)
    known = replace(PULL, size=5)
    assert gateway.sizes.asked(sandbox(), PULL, LONG - timedelta(milliseconds=1)) == PULL
    assert gateway.sizes.asked(sandbox(), known, LONG) == known
    assert ImageSizes(None, gateway.answered.append, gateway.look_again).asked(sandbox(), PULL, LONG) == PULL
    await gateway.settled()
    assert gateway.asked == []
