"""One check: who is asked, who is suspended, and in which order."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence

import pytest

from sandbox_common.activity import Report, Use
from sandbox_operator.idle import check as module
from sandbox_operator.idle.check import Candidate, Idle, IdleChecks
from sandbox_operator.idle.clock import AgentAnswer

OLD = 100_000.0


class World:
    """Scripted gateways and agent servers. `log` is what was asked and done, in order."""

    def __init__(self) -> None:
        self.now = 0.0
        self.log: list[str] = []
        self.reports_now: dict[str, Report | None] = {"a": Report(OLD, {})}
        self.answers: dict[str, tuple[float, int]] = {}
        """Idle time and number of running conversations; who is not named does not answer."""
        self.after_look: Callable[[], None] = lambda: None
        self.suspended: list[Idle] = []

    async def reports(self, within: Callable[[str], float | None]) -> Mapping[str, Report | None]:
        """As Gateways."""
        self.log.append("gateways")
        return {
            address: report and Report(report.uptime_seconds + self.now, report.sandboxes)
            for address, report in self.reports_now.items()
        }

    async def look(self, names: Collection[str]) -> Mapping[str, AgentAnswer]:
        """As Agents."""
        self.log.append(f"look {' '.join(sorted(names))}")
        answers = {
            name: AgentAnswer(self.now, 50_000 + self.now, *self.answers[name], 50_010 + self.now)
            for name in names
            if name in self.answers
        }
        self.after_look()
        return answers

    async def suspend(self, idle: Sequence[Idle]) -> None:
        """As Suspender."""
        self.log.append(f"suspend {' '.join(entry.name for entry in idle)}")
        self.suspended.extend(idle)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def checks(world: World) -> IdleChecks:
    """With a gateway that has been followed for a while."""
    checks = IdleChecks(world, world, world, lambda: world.now)
    for _ in range(4):
        await checks.check([])
        world.now += 15
    world.log.clear()
    return checks


def candidate(name: str = "s", timeout: int = 100, ready_at: float | None = -math.inf, run: int = 0) -> Candidate:
    return Candidate(name, ("pod", run), ready_at, timeout)


async def test_an_idle_one_is_suspended_after_a_second_question_to_the_gateways(
    checks: IdleChecks, world: World
) -> None:
    world.answers["s"] = 500, 0
    await checks.check([candidate()])
    assert world.log == ["gateways", "look s", "gateways", "suspend s"]
    assert world.suspended == [Idle("s", 100, 500)]


async def test_each_one_is_looked_at_first_and_then_when_it_is_due(checks: IdleChecks, world: World) -> None:
    world.answers["s"] = 40, 0
    await checks.check([candidate()])
    assert world.log == ["gateways", "look s"]
    world.log.clear()
    world.now += 59
    await checks.check([candidate()])
    assert world.log == ["gateways"]
    world.now += 1
    world.answers["s"] = 100, 0
    await checks.check([candidate()])
    assert world.suspended == [Idle("s", 100, 100)]


@pytest.mark.parametrize("answer", [(500.0, 1), (99.0, 0)])
async def test_a_busy_one_is_kept(checks: IdleChecks, world: World, answer: tuple[float, int]) -> None:
    world.answers["s"] = answer
    await checks.check([candidate()])
    assert world.suspended == []


async def test_one_that_does_not_answer_is_kept(checks: IdleChecks, world: World) -> None:
    await checks.check([candidate()])
    assert world.log == ["gateways", "look s"]
    world.answers["s"] = 20, 0
    await checks.check([candidate()])
    del world.answers["s"]
    world.now += 1000
    await checks.check([candidate()])
    assert world.suspended == []


@pytest.mark.parametrize("use", [Use(1, 0.0), Use(0, 99.0)])
async def test_one_in_use_through_a_gateway_is_kept(checks: IdleChecks, world: World, use: Use) -> None:
    world.answers["s"] = 500, 0
    world.reports_now["a"] = Report(OLD, {"s": use})
    await checks.check([candidate()])
    assert world.suspended == []


async def test_what_begins_while_the_agent_is_asked_is_seen(checks: IdleChecks, world: World) -> None:
    def use() -> None:
        world.reports_now["a"] = Report(OLD, {"s": Use(1, 0.0)})

    world.answers["s"] = 500, 0
    world.after_look = use
    await checks.check([candidate()])
    assert world.log == ["gateways", "look s", "gateways"]


async def test_a_replica_that_appears_while_the_agent_is_asked_is_seen(checks: IdleChecks, world: World) -> None:
    world.answers["s"] = 500, 0
    world.after_look = lambda: world.reports_now.update(b=None)
    await checks.check([candidate()])
    assert world.suspended == []


async def test_first_questions_are_spread_over_checks(
    checks: IdleChecks, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FIRST_QUESTIONS", 2)
    world.answers = dict.fromkeys("cde", (50, 0))
    everyone = [candidate(name) for name in "abcde"]
    for _ in range(4):
        await checks.check(everyone)
    looks = [entry for entry in world.log if entry.startswith("look")]
    # Those that do not answer are asked again, after all others.
    assert looks == ["look a b", "look c d", "look a e", "look a b"]


async def test_who_is_due_waits_for_no_first_question(
    checks: IdleChecks, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FIRST_QUESTIONS", 1)
    world.answers = dict.fromkeys("abc", (50, 0))
    await checks.check([candidate("a")])
    world.now += 60
    world.answers = dict.fromkeys("abc", (110, 0))
    world.log.clear()
    await checks.check([candidate(name) for name in "cba"])
    assert world.log == ["gateways", "look a c", "gateways", "suspend a c"]


async def test_while_the_gateways_are_not_known_no_agent_is_asked_twice(checks: IdleChecks, world: World) -> None:
    world.answers["s"] = 500, 0
    world.reports_now["a"] = None
    await checks.check([candidate()])
    world.log.clear()
    await checks.check([candidate()])
    assert world.log == ["gateways"]
    world.reports_now["a"] = Report(OLD, {})
    await checks.check([candidate()])
    assert [idle.name for idle in world.suspended] == ["s"]


@pytest.mark.parametrize("never", [candidate(timeout=0), candidate(ready_at=None)])
async def test_these_are_not_even_asked(checks: IdleChecks, world: World, never: Candidate) -> None:
    world.answers["s"] = 500, 0
    await checks.check([never])
    assert world.log == ["gateways"]


async def test_readiness_and_restarts_count_as_uses(checks: IdleChecks, world: World) -> None:
    world.answers["s"] = 500, 0
    await checks.check([candidate(ready_at=world.now - 10)])
    world.now += 80
    await checks.check([candidate(run=1, ready_at=world.now - 10)])
    world.now += 89
    await checks.check([candidate(run=1, ready_at=0.0)])
    assert world.suspended == []
    world.now += 1
    await checks.check([candidate(run=1, ready_at=0.0)])
    assert world.suspended == [Idle("s", 100, 100)]


async def test_a_moment_without_readiness_changes_nothing(checks: IdleChecks, world: World) -> None:
    world.answers["s"] = 0, 0
    await checks.check([candidate()])
    world.now += 50
    await checks.check([candidate(ready_at=None)])
    world.now += 50
    world.answers["s"] = 100, 0
    await checks.check([candidate(ready_at=world.now)])
    assert [idle.name for idle in world.suspended] == ["s"]


async def test_a_timeout_that_is_changed_counts_at_once(checks: IdleChecks, world: World) -> None:
    world.answers["s"] = 60, 0
    await checks.check([candidate(timeout=1000)])
    await checks.check([candidate(timeout=50)])
    assert world.suspended == [Idle("s", 50, 60)]


async def test_many_are_suspended_in_batches_each_after_fresh_questions(checks: IdleChecks, world: World) -> None:
    names = [f"s{number}" for number in range(70)]
    world.answers.update(dict.fromkeys(names, (500.0, 0)))
    await checks.check([candidate(name) for name in names])
    assert [entry.split()[0] for entry in world.log] == ["gateways"] + 2 * ["look", "gateways", "suspend"]
    assert [idle.name for idle in world.suspended] == names


async def test_without_gateways_the_agent_servers_alone_are_asked(world: World) -> None:
    checks = IdleChecks(None, world, world, lambda: world.now)
    world.answers["s"] = 500, 0
    await checks.check([candidate()])
    assert world.log == ["look s", "suspend s"]
