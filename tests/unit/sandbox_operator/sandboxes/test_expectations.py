"""Own writes that the cache does not show yet."""

from dataclasses import replace

from sandbox_operator.sandboxes.expectations import LIFETIME, Expectations
from unit.sandbox_operator.samples import LATER, NOW, pod

OLD, NEW = pod(uid="old"), pod(uid="new")


def test_what_was_made_is_there_before_the_cache_shows_it() -> None:
    expectations = Expectations()
    expectations.gained(NEW, clock=0)
    assert list(expectations.overlay([], NOW, clock=1)) == [NEW]
    assert list(expectations.overlay([OLD], NOW, clock=1)) == [NEW]


def test_once_the_cache_has_shown_it_the_cache_is_right() -> None:
    expectations = Expectations()
    expectations.gained(NEW, clock=0)
    seen = replace(NEW, node="node-1")
    assert list(expectations.overlay([seen], NOW, clock=1)) == [seen]
    assert list(expectations.overlay([], NOW, clock=1)) == []


def test_after_a_while_the_cache_is_right_whatever_it_shows() -> None:
    expectations = Expectations()
    expectations.gained(NEW, clock=0)
    expectations.deleted(OLD, clock=0)
    assert list(expectations.overlay([OLD], NOW, clock=LIFETIME)) == [OLD]


def test_what_was_deleted_ends_before_the_cache_shows_it() -> None:
    expectations = Expectations()
    expectations.deleted(OLD, clock=0)
    assert list(expectations.overlay([OLD], LATER, clock=1)) == [replace(OLD, deletion_requested=LATER)]
    ends = replace(OLD, deletion_requested=NOW)
    assert list(expectations.overlay([ends], LATER, clock=1)) == [ends]
    assert list(expectations.overlay([NEW], LATER, clock=1)) == [NEW]
