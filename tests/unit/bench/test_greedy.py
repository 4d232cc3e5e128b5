"""The table of what a greedy owner does to a modest one, and the requests that are sent."""

from bench.greedy import RATES, Found, grid, http


def phase(p99: float, **more: object) -> Found:
    return {**{kind: {"p50": 1.0, "p99": p99} for kind in RATES}, "cpu": 0.5, **more}


def test_ratios_are_those_of_each_round() -> None:
    rounds = [(phase(2), phase(3), phase(4, greedy={"per_second": 10})) for _ in range(3)]
    rounds[0] = (phase(10), phase(10), phase(100, greedy={"per_second": 90}))
    [row] = grid({"/list": rounds}).rows
    assert row == ["/list", "10", *["4 ms, 2.0 (1.5)"] * len(RATES), "50 %"]


def test_a_request_has_the_length_of_its_body() -> None:
    assert http("GET", "/list", {"X-API-Key": "k"}) == "GET /list HTTP/1.1\r\nHost: 127.0.0.1\r\nX-API-Key: k\r\n\r\n"
    sent = http("POST", "/stop", {}, {"runtime_id": "a"})
    assert "Content-Length: 19\r\n" in sent
    assert sent.endswith('\r\n\r\n{"runtime_id": "a"}')
