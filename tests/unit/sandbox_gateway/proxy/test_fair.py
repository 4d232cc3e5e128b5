"""However greedy some owners are, there is room for the next one."""

from hypothesis import given
from hypothesis import strategies as st

from sandbox_gateway.proxy.fair import Fair


def all_of(fair: Fair, owner: str) -> int:
    """What this owner gets when it takes all that it may."""
    taken = 0
    while fair.left(owner):
        fair.take(owner)
        taken += 1
    return taken


def test_one_alone_gets_three_quarters_and_the_next_ones_of_what_is_left() -> None:
    fair = Fair(4096)
    assert [all_of(fair, owner) for owner in "abc"] == [3072, 768, 192]


def test_each_may_have_a_little_until_nothing_is_left() -> None:
    fair = Fair(4096)
    assert [all_of(fair, str(number)) for number in range(6)] == [3072, 768, 192, 64, 0, 0]
    fair.give_back("0", 10)
    assert all_of(fair, "late") == 10


def test_who_is_beside_a_greedy_one_goes_on() -> None:
    fair = Fair(4096)
    fair.take("modest", 100)
    assert all_of(fair, "greedy") == 2997
    assert fair.left("modest", 500)


@given(st.integers(1, 200), st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9), st.booleans())))
def test_never_more_than_all_and_all_again_at_the_end(total: int, steps: list[tuple[str, int, bool]]) -> None:
    fair, taken = Fair(total), list[tuple[str, int]]()
    for owner, amount, take in steps:
        if take and fair.left(owner, amount):
            fair.take(owner, amount)
            taken.append((owner, amount))
        elif not take and taken:
            fair.give_back(*taken.pop())
        assert sum(amount for _, amount in taken) <= total
    for one in taken:
        fair.give_back(*one)
    assert fair.none_taken
    assert fair.left("a")
