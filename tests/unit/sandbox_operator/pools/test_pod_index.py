"""The index of pods, against one that looks at all pods each time."""

from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from sandbox_operator.pools.pod_index import PodIndex, Reservation
from sandbox_operator.watching.pods import Pod
from unit.sandbox_operator.pools.samples import free, ready
from unit.sandbox_operator.samples import NOW, condition

NAMES = st.sampled_from(["a", "b", "c", "d", "e"])
POOLS = ["", "warm", "other"]
TEMPLATES = ["t1", "t2"]


@st.composite
def pods(draw: st.DrawFn) -> Pod:
    pool = draw(st.sampled_from(POOLS))
    return free(
        draw(NAMES),
        uid=draw(st.sampled_from(["u1", "u2"])),
        owner_uid=draw(st.sampled_from(["", "owner-1", "owner-2"])),
        pool=pool,
        sandbox=draw(st.sampled_from(["", "one"])),
        template=draw(st.sampled_from(TEMPLATES)),
        ready=draw(st.sampled_from([None, condition(True), condition(False)])),
        phase=draw(st.sampled_from(["Pending", "Running", "Failed"])),
        deletion_requested=draw(st.sampled_from([None, NOW])),
    )


def _is_ready(pod: Pod, template: str) -> bool:
    alive = not pod.is_finished and not pod.deletion_requested
    return pod.is_free and pod.is_ready and alive and pod.template == template


type _Held = tuple[AbstractContextManager[Reservation | None], Reservation | None]


class StockMachine(RuleBasedStateMachine):
    """Pods change as they like while claims reserve and let go."""

    reservations: Bundle[_Held] = Bundle("reservations")

    def __init__(self) -> None:
        super().__init__()
        self.told: list[str] = []
        self.pod_index = PodIndex(self.told.append)
        self.pods: dict[str, Pod] = {}
        self.reserved: dict[str, int] = {}
        self.taken: set[str] = set()

    @rule(pod=pods())
    def change(self, pod: Pod) -> None:
        self._change(pod.name, pod)

    @rule(name=NAMES)
    def vanish(self, name: str) -> None:
        self._change(f"warm-{name}", None)

    def _change(self, name: str, pod: Pod | None) -> None:
        before = self.pods.pop(name, None)
        self.told.clear()
        assert self.pod_index.changed(name, pod) == before
        if pod:
            self.pods[name] = pod
        if pod is None or not pod.is_free:
            self.taken.discard(name)
        assert set(self.told) == {known.pool for known in (before, pod) if known and known.pool}

    @rule(target=reservations, template=st.sampled_from(TEMPLATES))
    def reserve(self, template: str) -> _Held:
        context = self.pod_index.reserve(template)
        reservation = context.__enter__()
        spoken = self.taken | self.reserved.keys()
        fits = {pod.name for pod in self.pods.values() if _is_ready(pod, template) and pod.name not in spoken}
        if reservation is None:
            assert not fits
            context.__exit__(None, None, None)
            return context, None
        assert reservation.pod.name in fits
        assert reservation.pod == self.pods[reservation.pod.name]
        self.reserved[reservation.pod.name] = 1
        return context, reservation

    @rule(held=consumes(reservations), taken=st.booleans())
    def let_go(self, held: _Held, taken: bool) -> None:
        context, reservation = held
        if reservation is None:
            return
        reservation.taken = taken
        self.told.clear()
        context.__exit__(None, None, None)
        assert self.told == [reservation.pod.pool]
        name = reservation.pod.name
        del self.reserved[name]
        if taken and name in self.pods and self.pods[name].is_free:
            self.taken.add(name)

    @invariant()
    def agrees_with_the_naive_one(self) -> None:
        spoken = self.taken | self.reserved.keys()
        assert self.pod_index.claims == len(self.reserved)
        for pool in POOLS[1:]:
            of_pool = [pod for pod in self.pods.values() if pod.pool == pool]
            expected = {pod.name for pod in of_pool if pod.is_free and pod.name not in spoken}
            assert {pod.name for pod in self.pod_index.free(pool)} == expected
            assert self.pod_index.claimed(pool) == len(of_pool) - len(expected)
        for template in TEMPLATES:
            assert self.pod_index.ready(template) == sum(_is_ready(pod, template) for pod in self.pods.values())
        for owner in ("owner-1", "owner-2"):
            assert {pod.name for pod in self.pod_index.owned_by(owner)} == {
                pod.name for pod in self.pods.values() if pod.owner_uid == owner
            }
        for name in ("warm-a", "warm-b", "warm-c", "warm-d", "warm-e"):
            assert self.pod_index.get(name) == self.pods.get(name)


TestStock = StockMachine.TestCase


def test_the_pod_that_has_waited_longest_goes_first() -> None:
    pod_index = PodIndex()
    for name in ("a", "b"):
        pod_index.changed(f"warm-{name}", ready(name))
    with pod_index.reserve(ready("a").template) as first, pod_index.reserve(ready("a").template) as second:
        assert first
        assert second
        assert (first.pod.name, second.pod.name) == ("warm-a", "warm-b")
        with pod_index.reserve(ready("a").template) as third:
            assert third is None
    assert pod_index.claims == 0


def test_pods_on_nodes_that_take_no_more_go_last() -> None:
    leaving = {"warm-a", "warm-b"}
    pod_index = PodIndex(unfit=lambda pod: "is cordoned" if pod.name in leaving else "")
    for name in ("a", "b", "c", "d"):
        pod_index.changed(f"warm-{name}", ready(name))
    with ExitStack() as stack:
        taken = [stack.enter_context(pod_index.reserve(ready("a").template)) for _ in range(5)]
    assert [one.pod.name if one else None for one in taken] == ["warm-c", "warm-d", "warm-a", "warm-b", None]


def test_a_pod_that_was_taken_is_not_offered_again_until_the_cache_says_who_has_it() -> None:
    pod_index = PodIndex()
    pod = ready("a")
    pod_index.changed(pod.name, pod)
    with pod_index.reserve(pod.template) as reservation:
        assert reservation
        reservation.taken = True
    assert (pod_index.free("warm"), pod_index.claimed("warm")) == ([], 1)
    pod_index.changed(pod.name, replace(pod, resource_version="2"))
    assert (pod_index.free("warm"), pod_index.claimed("warm")) == ([], 1)
    pod_index.changed(pod.name, replace(pod, sandbox="one"))
    assert (pod_index.free("warm"), pod_index.claimed("warm")) == ([], 1)
    pod_index.changed(pod.name, None)
    assert (pod_index.free("warm"), pod_index.claimed("warm")) == ([], 0)


def test_a_claim_that_dies_gives_the_pod_back() -> None:
    pod_index = PodIndex()
    pod = ready("a")
    pod_index.changed(pod.name, pod)
    with pytest.raises(TimeoutError), pod_index.reserve(pod.template):
        raise TimeoutError
    assert pod_index.free("warm") == [pod]
    assert pod_index.claims == 0
