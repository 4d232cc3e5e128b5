"""What has just been done counts until the cache shows it, and no longer."""

from dataclasses import replace

from sandbox_operator.watching.pod_expectations import LIFETIME, PodExpectations
from sandbox_operator.watching.pods import Pod
from unit.sandbox_operator.pools.samples import free
from unit.sandbox_operator.samples import LATER, NOW


class Cache:
    def __init__(self) -> None:
        self.version = 0
        self.clock = 0.0
        self.pods: dict[str, Pod] = {}
        self.expectations = PodExpectations[Pod](lambda: self.version, lambda: self.clock)

    def put(self, pod: Pod) -> None:
        self.pods[pod.name] = pod
        self.version = int(pod.resource_version)

    def shown(self) -> list[Pod]:
        owned = [pod for pod in self.pods.values() if pod.is_free]
        return self.expectations.overlay(owned, self.pods.get, NOW)


def test_a_created_pod_counts_at_once_and_once() -> None:
    cache, pod = Cache(), free("a", resource_version="5")
    cache.expectations.created(pod)
    cache.version = 4
    assert cache.shown() == [pod]
    changed = replace(pod, node="node-1")
    cache.put(changed)
    assert cache.shown() == [changed]


def test_a_created_pod_that_is_gone_again_does_not_count() -> None:
    cache = Cache()
    cache.expectations.created(free("a", resource_version="5"))
    cache.version = 7
    assert cache.shown() == []


def test_a_created_pod_that_was_claimed_does_not_count() -> None:
    cache, pod = Cache(), free("a", resource_version="5")
    cache.expectations.created(pod)
    cache.put(replace(pod, sandbox="one", resource_version="6"))
    cache.version = 4
    assert cache.shown() == []


def test_a_created_pod_that_is_deleted_before_the_cache_shows_it_is_on_its_way() -> None:
    cache, pod = Cache(), free("a", resource_version="5")
    cache.expectations.created(pod)
    cache.expectations.deleted(pod)
    assert cache.shown() == cache.shown() == [replace(pod, deletion_requested=NOW)]


def test_a_claimed_pod_counts_before_the_cache_shows_the_claim() -> None:
    cache, pod = Cache(), free("a", resource_version="5")
    cache.put(pod)
    claimed = replace(pod, sandbox="one", resource_version="6")
    cache.expectations.created(claimed)
    assert cache.expectations.overlay([], cache.pods.get, NOW) == [claimed]
    cache.put(replace(claimed, resource_version="7"))
    assert cache.expectations.overlay([], cache.pods.get, NOW) == []


def test_a_pod_takes_the_place_of_an_earlier_one_of_its_name() -> None:
    cache, earlier = Cache(), free("a", uid="earlier", resource_version="3")
    cache.put(earlier)
    cache.expectations.deleted(earlier)
    pod = free("a", uid="later", resource_version="5")
    cache.expectations.created(pod)
    assert cache.shown() == [pod]


def test_a_deleted_pod_is_on_its_way_until_it_is_seen_to_be() -> None:
    cache, pod = Cache(), free("a", resource_version="5")
    cache.put(pod)
    cache.expectations.deleted(pod)
    assert cache.shown() == [replace(pod, deletion_requested=NOW)]
    # A change from before the deletion.
    later = replace(pod, resource_version="6")
    cache.put(later)
    assert cache.shown() == [replace(later, deletion_requested=NOW)]
    ends = replace(pod, resource_version="7", deletion_requested=LATER)
    cache.put(ends)
    assert cache.shown() == [ends]
    assert not cache.expectations.pending


def test_after_long_the_cache_is_right_whatever_it_shows() -> None:
    """An earlier state of etcd was restored."""
    cache, pod, gone = Cache(), free("a", resource_version="5"), free("b", resource_version="9")
    cache.put(pod)
    cache.expectations.deleted(pod)
    cache.expectations.created(gone)
    assert cache.shown() == [replace(pod, deletion_requested=NOW), gone]
    assert cache.expectations.pending
    cache.clock = LIFETIME
    assert cache.shown() == [pod]
    assert not cache.expectations.pending
