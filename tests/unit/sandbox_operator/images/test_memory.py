"""What is remembered of a list: sizes, failures, and what sandboxes have used."""

from dataclasses import replace
from datetime import timedelta

from sandbox_common.reasons import Reason
from sandbox_crds.models import SandboxImages
from sandbox_operator.images.keepers import Keeper, State
from sandbox_operator.images.memory import LONGEST_REST, SHORTEST_REST, TOO_LARGE, Answer, Memory
from sandbox_operator.images.sizes import Sizes
from sandbox_operator.reporting.refusals import Refusal
from sandbox_operator.watching.pod_expectations import PodExpectations
from unit.sandbox_operator.images.samples import LIST_UID, NODE, image, images, keeper, listed
from unit.sandbox_operator.samples import NOW

SECOND = timedelta(seconds=1)
FORBIDDEN = Refusal(Reason.POD_REFUSED, "forbidden")
OVER_QUOTA = Refusal(Reason.QUOTA_EXCEEDED, "exceeded quota")


def memory(item: SandboxImages, room: int | None = None) -> Memory:
    made = Memory(LIST_UID, PodExpectations[Keeper](lambda: 0))
    made.read(item, room, NOW)
    return made


def test_duplicates_are_found_in_all_spellings_and_named_once() -> None:
    found = memory(listed("python:3", "docker.io/library/python:3", "alpine", "alpine:latest", "alpine", "busybox"))
    assert found.images == tuple(
        f"docker.io/library/{name}" for name in ("python:3", "alpine:latest", "busybox:latest")
    )
    assert found.duplicates == ("python:3", "alpine")


def test_a_failed_image_rests_longer_each_time() -> None:
    found = memory(listed(*images(2)))
    now = NOW
    for attempt, seconds in enumerate([30, 60, 120]):
        failed = keeper(image(1), state=State.FAILED, name=f"pod-{attempt}", reason="ImageNotFound")
        found.look(NODE, [failed], now)
        found.look(NODE, [failed], now + SECOND)  # one pod fails once, however often it is seen
        until = now + timedelta(seconds=seconds)
        assert found.due(now) == until
        assert found.resting(NODE, until - SECOND) == {image(1)}
        assert found.resting(NODE, until) == set()
        now = until
    assert SHORTEST_REST < LONGEST_REST
    found.look(NODE, [keeper(image(1))], now)
    assert found.failures[NODE] == {}


def test_a_pod_that_has_been_ready_for_long_ends_no_rest() -> None:
    found = memory(listed(*images(2)))
    merged = keeper(*images(2))
    found.look(NODE, [merged], NOW)
    found.look(NODE, [keeper(image(1), state=State.FAILED), merged], NOW)
    assert found.resting(NODE, NOW) == {image(1)}


def test_another_spec_tries_all_at_once() -> None:
    found = memory(listed(*images(2)))
    found.look(NODE, [keeper(image(1), state=State.FAILED)], NOW)
    assert found.read(listed(*images(3), generation=2), None, NOW)
    assert found.resting(NODE, NOW) == set()


def test_a_pod_that_is_being_deleted_is_no_failure() -> None:
    found = memory(listed(*images(4)))
    ends = [keeper(image(1), state=State.FAILED), keeper(*images(4), state=State.FAILED)]
    found.look(NODE, [replace(pod, deletion_requested=NOW) for pod in ends], NOW)
    assert (found.failures[NODE], found.may_merge(NODE, NOW)) == ({}, True)


def test_a_refused_image_rests_and_the_next_one_need_not_wait() -> None:
    found = memory(listed(*images(2)))
    found.answered([Answer(NODE, (image(1),), FORBIDDEN), Answer(NODE, (image(2),))], NOW)
    assert found.resting(NODE, NOW) == {image(1)}
    assert (found.refusal, found.refused_until) == (None, None)
    assert found.failures[NODE][image(1)].reason == Reason.POD_REFUSED
    assert found.due(NOW) == NOW + SHORTEST_REST


def test_all_pods_wait_when_all_are_refused() -> None:
    found = memory(listed(*images(2)))
    for seconds in (10, 20, 40, 60):
        found.answered([Answer(NODE, (image(1),), FORBIDDEN)], NOW)
        assert (found.refusal, found.refused_until) == (FORBIDDEN, NOW + timedelta(seconds=seconds))
    found.answered([Answer(NODE, (image(2),))], NOW)
    assert (found.refusal, found.refused_until) == (None, None)


def test_a_full_quota_is_the_fault_of_no_image() -> None:
    found = memory(listed(*images(2)))
    found.answered([Answer(NODE, (image(1),)), Answer(NODE, (image(2),), OVER_QUOTA)], NOW)
    assert (found.refusal, found.resting(NODE, NOW)) == (OVER_QUOTA, set())
    assert found.refused_until == NOW + timedelta(seconds=10)


def test_a_refused_merged_pod_rests_and_its_images_do_not() -> None:
    found = memory(listed(*images(4)))
    found.answered([Answer(NODE, tuple(images(4)), FORBIDDEN)], NOW)
    assert (found.may_merge(NODE, NOW), found.resting(NODE, NOW)) == (False, set())


def test_another_spec_forgets_what_was_refused() -> None:
    found = memory(listed(*images(2)))
    found.answered([Answer(NODE, (image(1),), FORBIDDEN)], NOW)
    found.read(listed(*images(2), generation=2), None, NOW)
    assert (found.refusal, found.refused_until, found.resting(NODE, NOW)) == (None, None, set())


def test_merging_rests_after_a_merged_pod_has_failed() -> None:
    found = memory(listed(*images(4)))
    found.look(NODE, [keeper(*images(4), state=State.FAILED)], NOW)
    assert not found.may_merge(NODE, NOW)
    assert found.may_merge(NODE, NOW + LONGEST_REST)
    assert found.resting(NODE, NOW) == set()


def test_a_list_that_fits_has_no_window() -> None:
    found = memory(listed(*images(3)), room=30)
    found.sizes.learn(found.texts, dict.fromkeys(images(3), 10))
    found.sandbox_started(image(1), NOW)
    assert found.order() == (images(3), [])


def test_used_images_come_last_and_a_pass_ends_with_the_list() -> None:
    found = memory(listed(*images(3)), room=20)
    found.sizes.learn(found.texts, dict.fromkeys(images(3), 10))
    assert found.sandbox_started(image(2), NOW)
    assert not found.sandbox_started(image(2), NOW)
    assert not found.sandbox_started(image(9), NOW)
    assert found.order() == ([image(1), image(3)], [image(2)])
    assert not found.begin_next_pass(NOW)
    found.look(NODE, [keeper(image(3), state=State.FAILED)], NOW)
    found.sandbox_started(image(1), NOW)
    later = NOW + timedelta(minutes=1)
    assert found.begin_next_pass(later)
    assert found.order() == (images(3), [])
    assert not found.sandbox_started(image(1), NOW), "a sandbox of the pass before"


def test_a_sandbox_of_the_second_in_which_a_pass_begins_counts() -> None:
    found = memory(listed(*images(3)), 20)
    found.pass_started = None
    found.read(listed(*images(3), generation=2), 20, NOW + timedelta(milliseconds=700))
    assert found.sandbox_started(image(1), NOW)


def test_what_has_been_used_outlives_the_process() -> None:
    status = {"used": "1,3", "passStarted": "2026-11-23T12:00:00Z", "observedGeneration": 1}
    assert memory(listed(*images(3), status=status), 20).used == {image(1), image(3)}
    assert memory(listed(*images(3), status=status, generation=2), 20).used == set()


def test_what_is_not_known_counts_as_much_as_the_largest() -> None:
    sizes = Sizes(100)
    assert sizes.of(image(1)) == 100
    sizes.learn(images(3), {image(1): 10, image(2): 30, image(9): 90})
    assert [sizes.of(each) for each in images(3)] == [10, 30, 30]


def test_what_a_node_does_not_report_after_a_while_is_smaller_than_all_that_it_reports() -> None:
    reported = {f"registry.example/other:{number}": 5 + number for number in range(50)}
    found = memory(listed(*images(2)), room=100)
    held = [keeper(image(1))]
    assert found.size(held, reported, NOW)(image(1)) == 100
    assert found.size(held, reported, NOW + timedelta(minutes=1))(image(1)) == 5
    few = dict(list(reported.items())[:20])
    assert found.size(held, few, NOW + timedelta(minutes=1))(image(2)) == 100
    assert found.size(held, few, NOW + timedelta(minutes=1))(image(1)) == 0, "what was there before is not given up"
    found.sizes.learn(found.texts, {image(2): 30})
    assert found.size(held, few, NOW + timedelta(minutes=1))(image(1)) == 30


def test_the_size_of_a_held_image_is_known_after_it_has_left_the_list() -> None:
    found = memory(listed(*images(2)), room=20)
    found.learn([{image(1): 10, image(2): 30, image(9): 50}], [keeper(image(1)), keeper(*images(2))])
    assert found.read(listed(image(1), generation=2), 20, NOW)
    found.learn([], [keeper(*images(2))])
    assert [found.sizes.known(image(number)) for number in (1, 2, 9)] == [10, 30, None]
    found.look(NODE, [], NOW)
    assert found.failures[NODE] == {}, "what is not listed fails nowhere"
    found.learn([], [])
    assert found.sizes.known(image(2)) is None


def test_what_is_larger_than_the_disk_is_not_tried() -> None:
    found = memory(listed(*images(2)), room=20)
    found.sizes.learn(found.texts, {image(1): 21})
    found.look(NODE, [], NOW)
    assert found.resting(NODE, NOW + timedelta(days=1)) == {image(1)}
    assert found.failures[NODE][image(1)].reason == TOO_LARGE
    assert found.due(NOW) is None


def test_nothing_is_kept_of_nodes_and_pods_that_are_gone() -> None:
    found = memory(listed(*images(2)))
    found.look(NODE, [keeper(image(1), state=State.FAILED)], NOW)
    found.look("other", [keeper(*images(2), state=State.FAILED)], NOW)
    found.forget_others(set(), set())
    assert (found.failures, found.due(NOW), found.may_merge("other", NOW)) == ({}, None, True)
