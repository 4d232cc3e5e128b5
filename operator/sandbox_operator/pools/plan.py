"""Plans the next steps for one pool from the state of its pods. Pure."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sandbox_common.reasons import Reason
from sandbox_operator.pools.free_pods import LONGEST_START, VOLUME_IS_MADE, FreePods, PodsByState, PodState
from sandbox_operator.pools.refill_history import SHORTEST_DELAY, RefillHistory
from sandbox_operator.watching.pods import Pod

BATCH = 4
"""How many pods are made or deleted at the same time. Also how many are made from a template that has had no ready pod
yet, how many may wait for room on a node or for a volume, and by how many a pool grows while its pods are replaced."""

MOST_UNPLACED = 16
"""How many pods may be without a node, so that few pods wait if there is no room. A scheduler takes milliseconds for
each."""

_LEAST_USEFUL_FIRST = (PodState.FAILING, PodState.UNBOUND, PodState.WAITING, PodState.STARTING, PodState.READY)


@dataclass(frozen=True, slots=True)
class PoolWorld:
    """What is known about one pool.

    `wanted` is the desired number of free pods, `equipped` has the UIDs of pods whose Secret, and volume claim if they
    need one, this process has made.
    """

    wanted: int
    free_pods: FreePods
    history: RefillHistory
    now: datetime
    equipped: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class PoolPlan:
    """Delete the pods `deletes` if they have not changed, make the objects that `equips` lack, make `creates` pods."""

    deletes: tuple[Pod, ...] = ()
    equips: tuple[Pod, ...] = ()
    creates: int = 0
    requeue_at: datetime | None = None

    def __bool__(self) -> bool:
        return bool(self.deletes or self.equips or self.creates)


def plan(world: PoolWorld) -> PoolPlan:
    """The next few steps for one pool. Plan again when they are done."""
    deletes = [*_outdated(world), *(_surplus(world) or _failed(world))][:BATCH]
    equips = _without_objects(world, deletes)
    # The refusal may have been about these.
    is_refused = equips and world.history.refusals.level
    creates = 0 if is_refused else min(_missing(world, deletes), *_bounds(world, deletes))
    return PoolPlan(tuple(deletes), equips, max(creates, 0), _again_at(world))


def _without_objects(world: PoolWorld, deletes: Collection[Pod]) -> tuple[Pod, ...]:
    if not world.history.refusals.is_over(world.now):
        return ()
    current = world.free_pods.current
    pods = [pod for state in PodState if state is not PodState.READY for pod in current[state]]
    known = {*world.equipped, *(pod.uid for pod in deletes)}
    return tuple(pod for pod in pods if pod.uid not in known and not _has_run(pod))[:BATCH]


def _has_run(pod: Pod) -> bool:
    """Whether the container has run, so that all its objects must exist."""
    container = pod.container
    return pod.is_finished or (
        container is not None and (container.running_since is not None or container.last_run is not None)
    )


def _outdated(world: PoolWorld) -> list[Pod]:
    """Pods to delete because of an earlier template or an unfit node: all that are not ready, and surplus ready ones.

    If there is no room for new pods, a quarter of the ready pods with an earlier template goes first.
    """
    free_pods, outdated = world.free_pods, world.free_pods.outdated
    useless = [pod for state in _LEAST_USEFUL_FIRST[:-1] for pod in outdated[state]]
    old = _oldest_first(outdated[PodState.READY])
    spare = free_pods.count(PodState.READY) - world.wanted
    if spare > 0:
        return [*useless, *[*_oldest_first(free_pods.leaving), *old][:spare]]
    # Deleting a pod from an unfit node makes no room for a new pod.
    share = max(1, world.wanted // 4) if _lacks_room(world) else 0
    return [*useless, *old[: max(spare + share, 0)]]


def _lacks_room(world: PoolWorld) -> bool:
    refusal = world.history.refusal
    quota = refusal is not None and refusal.reason is Reason.QUOTA_EXCEEDED
    return quota or world.free_pods.current.count(PodState.WAITING) > 0


def _surplus(world: PoolWorld) -> list[Pod]:
    current = world.free_pods.current
    surplus = current.count() - world.wanted
    if surplus <= 0:
        return []
    pods = [pod for state in _LEAST_USEFUL_FIRST for pod in reversed(_oldest_first(current[state]))]
    return pods[:surplus]


def _failed(world: PoolWorld) -> list[Pod]:
    """Failing pods that are due for deletion: all of them, or one with each try during a back-off."""
    history, now = world.history, world.now
    if not history.failures.is_over(now) or not history.refusals.is_over(now):
        return []
    pods = _oldest_first(world.free_pods.current[PodState.FAILING])
    due = [pod for pod in pods if now >= history.failing.get(pod.uid, now) + SHORTEST_DELAY]
    return due[:1] if history.failures.level else due


def _missing(world: PoolWorld, deletes: Collection[Pod]) -> int:
    free_pods = world.free_pods
    gone = {pod.uid for pod in deletes}
    missing = world.wanted - _count_without(free_pods.current, gone)
    leaving = sum(pod.uid not in gone for pod in free_pods.leaving)
    replaced = _count_without(free_pods.outdated, gone) + leaving
    return min(missing, missing + BATCH - replaced) if replaced else missing


def _bounds(world: PoolWorld, deletes: Collection[Pod]) -> tuple[int, ...]:
    """Upper bounds of the number of pods to make."""
    history, current, now = world.history, world.free_pods.current, world.now
    waiting = current.count(PodState.WAITING, PodState.UNBOUND)
    unplaced = waiting + sum(not pod.node for pod in current[PodState.STARTING])
    bounds = [BATCH, BATCH - waiting, MOST_UNPLACED - unplaced]
    if not history.proven:
        gone = {pod.uid for pod in deletes}
        bounds.append(BATCH - _count_without(current, gone))
    for backoff in (history.failures, history.refusals):
        if backoff.level:
            bounds.append(1 if backoff.is_over(now) else 0)
    return tuple(bounds)


def _count_without(pods: PodsByState, gone: Collection[str]) -> int:
    return sum(pod.uid not in gone for state in PodState for pod in pods[state])


def _oldest_first(pods: list[Pod]) -> list[Pod]:
    return sorted(pods, key=lambda pod: (pod.created, pod.name))


def _again_at(world: PoolWorld) -> datetime | None:
    """Time of the next step if nothing changes."""
    history, current = world.history, world.free_pods.current
    times = [since + SHORTEST_DELAY for since in history.failing.values()]
    times += [backoff.until for backoff in (history.failures, history.refusals) if backoff.until]
    times += [pod.created + LONGEST_START for pod in current[PodState.STARTING]]
    times += [pod.created + VOLUME_IS_MADE for pod in current[PodState.STARTING] if pod.volume_claim and not pod.node]
    return min((time for time in times if time > world.now), default=None)
