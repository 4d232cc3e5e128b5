"""What the comparison of proxies reads and adds up."""

import pytest

from bench.proxy.cases import Run, parse_wrk
from bench.proxy.report import summarize

WRK = """Running 1s test @ http://127.0.0.1:47771/hello
  1 threads and 128 connections
  Latency Distribution
     50%  255.53us
     75%  555.41ms
     90%  757.17ms
     99%    1.05s{space}
  215 requests in 1.10s, 53.12KB read
{more}Requests/sec:    195.66
Transfer/sec:     48.34KB
"""


def test_wrks_words() -> None:
    rate, p50, p99, done = parse_wrk(WRK.format(space=" ", more=""))
    assert (rate, p50, p99, done) == (195.66, pytest.approx(0.25553), pytest.approx(1050), 215)


@pytest.mark.parametrize(
    "text",
    [
        WRK.format(space=" ", more="  Non-2xx or 3xx responses: 3\n"),
        WRK.format(space=" ", more="  Socket errors: connect 0, read 1, write 0, timeout 0\n"),
        "unable to connect to 127.0.0.1:1 Connection refused\n",
    ],
)
def test_a_run_with_errors_is_none(text: str) -> None:
    with pytest.raises(RuntimeError, match="wrk: "):
        parse_wrk(text)


def run(rate: float) -> Run:
    return Run(rate, p50=1, p99=2, cpu=3)


def test_ratios_are_taken_within_a_round() -> None:
    runs = {"nginx": [run(100), run(50), run(200)], "ours": [run(90), run(50), run(160)], "naive": [run(5)]}
    found = summarize(runs)
    assert (found["ours"].ratio, found["ours"].ratio_least, found["ours"].ratio_greatest) == (0.9, 0.8, 1.0)
    assert (found["ours"].rate, found["nginx"].ratio, found["naive"].ratio) == (90, 1.0, 0.05)
