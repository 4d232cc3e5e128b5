"""Who reaches whom, simulated from the chart's policies."""

from collections.abc import Mapping
from typing import Any

import pytest

from reachability.ends import VALUES, Door, Peer, doors, sources
from reachability.page import page
from reachability.rendering import PAGE, policies, rendered
from reachability.simulation import Matrix, simulate


@pytest.fixture(scope="module")
def manifests() -> list[dict[str, Any]]:
    return rendered()


def matrix(values: Mapping[str, Any]) -> Matrix:
    """What the chart's policies allow with these values beside those of the page."""
    network = {**VALUES["networkPolicy"], **values.get("networkPolicy", {})}
    made = rendered({**VALUES, **values, "networkPolicy": network})
    return simulate(policies(made), sources(made), doors(made))


def who_reaches(found: Matrix, door: str) -> set[str]:
    return {source for source, allowed in found[door].items() if allowed}


def test_the_page_is_fresh(manifests: list[dict[str, Any]]) -> None:
    stale = "stale: run `python -m reachability`"
    assert PAGE.read_text() == page(manifests, policies(manifests)), stale


def test_without_policies_all_is_open(manifests: list[dict[str, Any]]) -> None:
    found = simulate([], sources(manifests), doors(manifests))
    assert all(allowed for row in found.values() for allowed in row.values())


def test_without_the_policy_of_sandboxes_their_neighbours_reach_them(manifests: list[dict[str, Any]]) -> None:
    others = [policy for policy in policies(manifests) if not policy["metadata"]["name"].endswith("-sandboxes")]
    found = simulate(others, sources(manifests), doors(manifests))
    assert {"sandbox, `None`", "a pod of another namespace"} <= who_reaches(found, "sandbox, agent server")


def test_sandboxes_are_reached_by_gateway_and_operator_at_declared_ports() -> None:
    found = matrix({})
    for door in ("sandbox, agent server", "sandbox, agent server at another port"):
        assert who_reaches(found, door) == {"gateway", "operator"}
    assert who_reaches(found, "sandbox, VSCode") == who_reaches(found, "sandbox, work host") == {"gateway"}
    assert who_reaches(found, "sandbox, a port that it does not declare") == set()


def test_sandboxes_reach_what_their_profile_says() -> None:
    found = matrix({})
    reached = {source: {door for door, row in found.items() if row[source]} for source in found["cluster DNS"]}
    internet = {"DNS of the internet, 8.8.8.8", "internet, 1.1.1.1", "internet, 2606:4700::1111"}
    assert reached["sandbox, `Internet`"] == {"cluster DNS"} | internet
    assert reached["sandbox, `model`"] == {"cluster DNS", "listed range, 10.20.0.7"}
    assert reached["sandbox, `None`"] == reached["sandbox, unknown profile"] == set()


def test_without_host_mode_nobody_reaches_services() -> None:
    found = matrix({"gateway": {"baseDomain": ""}})
    assert who_reaches(found, "sandbox, agent server") == {"gateway", "operator"}
    assert who_reaches(found, "sandbox, VSCode") == who_reaches(found, "sandbox, work host") == set()


def test_ports_may_be_numbers_where_a_plugin_knows_no_names() -> None:
    found = matrix({"networkPolicy": {"sandbox": {"agentPorts": [{"port": 60000}], "servicePorts": []}}})
    assert who_reaches(found, "sandbox, agent server") == {"gateway", "operator"}
    assert who_reaches(found, "sandbox, agent server at another port") == who_reaches(found, "sandbox, VSCode") == set()


def test_a_profile_may_be_without_dns_and_limit_the_internet_to_ports() -> None:
    profile = {"internet": True, "dns": False, "ports": [{"port": 443}]}
    found = matrix({"networkPolicy": {"egressProfiles": {"Internet": profile}}})
    reached = {door for door, row in found.items() if row["sandbox, `Internet`"]}
    assert reached == {"internet, 1.1.1.1"}


def test_a_misspelt_question_is_an_error(manifests: list[dict[str, Any]]) -> None:
    nowhere = Peer("nowhere", "not an address")
    with pytest.raises(AssertionError, match="unable to parse IP"):
        simulate(policies(manifests), sources(manifests), [Door("nowhere", nowhere, 1)])
