"""The table of what bad API keys do to good requests."""

from bench.abuse import GOOD_RATES, Phase, grid


def phase(p99: float, **more: float) -> Phase:
    return {**{who: {"p99": p99} for who in GOOD_RATES}, **{who: {"rate": rate} for who, rate in more.items()}}


def test_ratios_are_those_of_each_round() -> None:
    rounds = [(phase(1), phase(2, bad=4000)), (phase(10), phase(11, bad=5000)), (phase(2), phase(6, bad=4500))]
    table = grid(rounds)
    assert table.headings[2] == "p99 beside 4500 bad/s"
    assert [row[1:] for row in table.rows] == [["2.0 ms", "6.0 ms", "2.00"]] * len(GOOD_RATES)
