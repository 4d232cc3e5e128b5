"""What is to be done about one pool: pure, from what is known of its pods."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sandbox_common.reasons import Reason
from sandbox_operator.pools.census import LONGEST_START, Census, Pods, State
from sandbox_operator.pools.record import SHORTEST_DELAY, Record
from sandbox_operator.watching.pods import Pod

BATCH = 4
"""Most pods that are made, or deleted, at the same time. Also how many are made of a template of which none has been
ready yet, how many may wait for room on a node, and by how many a pool grows while it is rolled."""

MOST_UNPLACED = 16
"""Most pods that may be without a node, so that few are too many where there is no room; a scheduler takes
milliseconds for each."""

_LEAST_USEFUL_FIRST = (State.FAILING, State.WAITING, State.STARTING, State.READY)


@dataclass(frozen=True, slots=True)
class World:
    """What is known of one pool.

    `wanted` is how many free pods there shall be, `secrets` the UIDs of pods whose Secret this process has made.
    """

    wanted: int
    census: Census
    record: Record
    now: datetime
    secrets: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """Delete these pods if they still are as they were seen, make the Secrets of these, and make so many pods."""

    deletes: tuple[Pod, ...] = ()
    secrets: tuple[Pod, ...] = ()
    creates: int = 0
    requeue_at: datetime | None = None

    def __bool__(self) -> bool:
        return bool(self.deletes or self.secrets or self.creates)


def plan(world: World) -> Plan:
    """The next steps for one pool, few at a time; to be asked again when they are done."""
    deletes = [*_outdated(world), *(_surplus(world) or _failed(world))][:BATCH]
    creates = min(_missing(world, deletes), *_bounds(world, deletes))
    return Plan(tuple(deletes), _without_secret(world, deletes), max(creates, 0), _again_at(world))


def _without_secret(world: World, deletes: Collection[Pod]) -> tuple[Pod, ...]:
    if not world.record.refusals.is_over(world.now):
        return ()
    current = world.census.current
    pods = [*current[State.STARTING], *current[State.WAITING], *current[State.FAILING]]
    known = {*world.secrets, *(pod.uid for pod in deletes)}
    return tuple(pod for pod in pods if pod.uid not in known and not _has_run(pod))[:BATCH]


def _has_run(pod: Pod) -> bool:
    """Whether the container has had its environment, so that the Secret must be there."""
    container = pod.container
    return pod.is_finished or (
        container is not None and (container.running_since is not None or container.last_run is not None)
    )


def _outdated(world: World) -> list[Pod]:
    """Pods of earlier templates, and on nodes that take no more, that can go: those that are of no use, and as many
    ready ones as are not missed.

    When there is no room for the new ones, a quarter of those of earlier templates goes first.
    """
    census, outdated = world.census, world.census.outdated
    useless = [pod for state in _LEAST_USEFUL_FIRST[:-1] for pod in outdated[state]]
    old = _oldest_first(outdated[State.READY])
    spare = census.count(State.READY) - world.wanted
    if spare > 0:
        return [*useless, *[*_oldest_first(census.leaving), *old][:spare]]
    # The room of a pod on a node that takes no more is of no use to another.
    share = max(1, world.wanted // 4) if _lacks_room(world) else 0
    return [*useless, *old[: max(spare + share, 0)]]


def _lacks_room(world: World) -> bool:
    refusal = world.record.refusal
    quota = refusal is not None and refusal.reason is Reason.QUOTA_EXCEEDED
    return quota or world.census.current.count(State.WAITING) > 0


def _surplus(world: World) -> list[Pod]:
    current = world.census.current
    surplus = current.count() - world.wanted
    if surplus <= 0:
        return []
    pods = [pod for state in _LEAST_USEFUL_FIRST for pod in reversed(_oldest_first(current[state]))]
    return pods[:surplus]


def _failed(world: World) -> list[Pod]:
    """Failing pods whose time has come: all in good times, else one with each try."""
    record, now = world.record, world.now
    if not record.failures.is_over(now) or not record.refusals.is_over(now):
        return []
    pods = _oldest_first(world.census.current[State.FAILING])
    due = [pod for pod in pods if now >= record.failing.get(pod.uid, now) + SHORTEST_DELAY]
    return due[:1] if record.failures.level else due


def _missing(world: World, deletes: Collection[Pod]) -> int:
    census = world.census
    gone = {pod.uid for pod in deletes}
    missing = world.wanted - _count_without(census.current, gone)
    leaving = sum(pod.uid not in gone for pod in census.leaving)
    replaced = _count_without(census.outdated, gone) + leaving
    return min(missing, missing + BATCH - replaced) if replaced else missing


def _bounds(world: World, deletes: Collection[Pod]) -> tuple[int, ...]:
    """How many pods may be made at most, for one reason each."""
    record, current, now = world.record, world.census.current, world.now
    waiting = current.count(State.WAITING)
    unplaced = waiting + sum(not pod.node for pod in current[State.STARTING])
    bounds = [BATCH, BATCH - waiting, MOST_UNPLACED - unplaced]
    if not record.proven:
        gone = {pod.uid for pod in deletes}
        bounds.append(BATCH - _count_without(current, gone))
    for backoff in (record.failures, record.refusals):
        if backoff.level:
            bounds.append(1 if backoff.is_over(now) else 0)
    return tuple(bounds)


def _count_without(pods: Pods, gone: Collection[str]) -> int:
    return sum(pod.uid not in gone for state in State for pod in pods[state])


def _oldest_first(pods: list[Pod]) -> list[Pod]:
    return sorted(pods, key=lambda pod: (pod.created, pod.name))


def _again_at(world: World) -> datetime | None:
    """When something is due though nothing changes."""
    record, current = world.record, world.census.current
    times = [since + SHORTEST_DELAY for since in record.failing.values()]
    times += [backoff.until for backoff in (record.failures, record.refusals) if backoff.until]
    times += [pod.created + LONGEST_START for pod in current[State.STARTING]]
    return min((time for time in times if time > world.now), default=None)
