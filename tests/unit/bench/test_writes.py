"""Writes told apart and held against the budget."""

from collections import Counter

import pytest

from bench.writes import BUDGET, COLD, REFILL, WARM, over_budget, split_refill, total, writes

GATEWAY, OPERATOR = "sandbox-gateway", "sandbox-operator"
CLAIM = Counter(
    {(GATEWAY, "create sandboxes"): 4, (OPERATOR, "patch pods"): 4, (OPERATOR, "patch sandboxes/status"): 4}
)
FILL = Counter(
    {
        (OPERATOR, "create pods"): 3,
        (OPERATOR, "create secrets"): 3,
        (OPERATOR, "patch sandboxpools/status"): 1,
        ("kwok", "patch pods/status"): 3,
    }
)


def test_reads_and_what_is_written_by_the_clock_do_not_count() -> None:
    noise = Counter({(OPERATOR, "list events"): 1, (OPERATOR, "get pods"): 2, (OPERATOR, "patch leases"): 9})
    noise[OPERATOR, "create sandboxusages"] = 1
    assert writes(CLAIM + noise) == CLAIM


def test_claims_and_refill_are_told_apart() -> None:
    assert split_refill(CLAIM + FILL) == (CLAIM, FILL)


def test_only_gateway_and_operator_count() -> None:
    assert (total(CLAIM), total(FILL)) == (12, 7)
    assert total(Counter({("sandbox-operator-of-another", "create pods"): 1})) == 0


def test_budget() -> None:
    assert over_budget({WARM: (4, CLAIM), REFILL: (4, FILL)}) == []


def test_a_refused_write_counts() -> None:
    conflict = Counter({(OPERATOR, "patch pods (422)"): 1})
    [problem] = over_budget({WARM: (4, CLAIM + conflict)})
    assert problem == "warm start: 3.25 writes, and 3 are to be enough"


def test_what_did_not_happen_is_a_problem() -> None:
    assert over_budget({WARM: (0, Counter())}) == ["warm start: there was none"]


@pytest.mark.parametrize(("step", "most"), [(COLD, 4), (WARM, 3), (REFILL, 2)])
def test_budget_of_starts(step: str, most: float) -> None:
    assert BUDGET[step] == most
