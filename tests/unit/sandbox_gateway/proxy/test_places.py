"""Places for requests that wait: each bound by itself, and nothing left behind."""

from hypothesis import given
from hypothesis import strategies as st

from sandbox_gateway.proxy.places import Places


def test_places_of_one_sandbox() -> None:
    places = Places(per_sandbox=2)
    assert [places.take("", "a", 0) for _ in range(3)] == [True, True, False]
    assert places.take("", "b", 0)
    places.leave("", "a", 0)
    assert places.take("", "a", 0)


def test_places_in_all() -> None:
    places = Places(in_all=2)
    assert [places.take(name, name, 0) for name in "abc"] == [True, True, False]
    places.leave("a", "a", 0)
    assert places.take("c", "c", 0)


def test_bytes_of_all() -> None:
    places = Places(max_bytes=10)
    assert places.take("", "a", 4)
    assert places.take("", "b", 3)
    assert not places.take("", "c", 1), "the rest is for other owners"
    assert not places.grow("", 1)
    assert places.grow("other", 1)
    places.leave("", "a", 4)
    assert places.grow("", 2)
    assert not places.grow("", 2)
    places.leave("", "b", 3 + 2)


def test_the_bounds_that_are_told() -> None:
    places = Places()
    assert [places.take("", "a", 0) for _ in range(257)].count(True) == 256
    assert [places.take(f"b{n}", f"b{n}", 0) for n in range(2000)].count(True) == 2048 - 256
    assert Places().take("", "a", 48 * 1024 * 1024)
    assert not Places().take("", "a", 48 * 1024 * 1024 + 1)
    places = Places()
    assert [places.take("greedy", f"g{n}", 0) for n in range(3000)].count(True) == 1536


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 6), st.booleans())))
def test_what_is_taken_and_given_back_is_all_there_again(steps: list[tuple[str, int, bool]]) -> None:
    places = Places(per_sandbox=3, in_all=5, max_bytes=20)
    taken: list[tuple[str, int]] = []
    for name, size, take in steps:
        if take and places.take(name, name, size):
            taken.append((name, size))
        elif not take and taken:
            owner, kept = taken.pop()
            places.leave(owner, owner, kept)
        assert len(taken) <= 5
        assert sum(size for _, size in taken) <= 20
        assert all([name for name, _ in taken].count(one) <= 3 for one in "abc")
    for owner, size in taken:
        places.leave(owner, owner, size)
    assert places.free
