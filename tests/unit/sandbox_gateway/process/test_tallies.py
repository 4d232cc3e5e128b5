"""The numbers of what passes, as Prometheus reads them."""

from prometheus_client import CollectorRegistry, generate_latest

from sandbox_gateway.process.tallies import Route, Tally, TallyCollector


def text_of(*tallies: Tally) -> set[str]:
    registry = CollectorRegistry()
    registry.register(TallyCollector(tallies))
    prefix = "openhands_sandbox_gateway_"
    return {line.removeprefix(prefix) for line in generate_latest(registry).decode().splitlines() if line[0] != "#"}


def test_a_tally_as_metrics() -> None:
    tally = Tally(Route.SANDBOX)
    tally.answers[2] = 7
    tally.answers[0] = 1
    tally.received, tally.sent = 5, 1 << 20
    for seconds in (0.00001, 0.000025, 0.0003, 2.0):
        tally.add(seconds)
    assert {
        'requests_total{code="2xx",route="sandbox"} 7.0',
        'requests_total{code="none",route="sandbox"} 1.0',
        'received_bytes_total{route="sandbox"} 5.0',
        'sent_bytes_total{route="sandbox"} 1.048576e+06',
        'added_seconds_bucket{le="2.5e-05",route="sandbox"} 2.0',
        'added_seconds_bucket{le="0.0005",route="sandbox"} 3.0',
        'added_seconds_bucket{le="1.0",route="sandbox"} 3.0',
        'added_seconds_bucket{le="+Inf",route="sandbox"} 4.0',
        'added_seconds_count{route="sandbox"} 4.0',
        'added_seconds_sum{route="sandbox"} 2.000335',
    } <= text_of(tally)


def test_nothing_is_told_of_codes_that_never_were_nor_of_time_that_the_gateway_spends_on_its_own_answers() -> None:
    text = text_of(Tally(Route.GATEWAY))
    assert text == {'received_bytes_total{route="gateway"} 0.0', 'sent_bytes_total{route="gateway"} 0.0'}
