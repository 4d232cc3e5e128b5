"""Steps of a start from what was seen when."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.steps import STEPS, MissingTimeError, Times, medians, process_start, request_time, seconds, steps


def line(verb: str, resource: str, user: str, time: str, code: int = 201) -> dict[str, Any]:
    name, _, subresource = resource.partition("/")
    return {
        "verb": verb,
        "userAgent": user,
        "objectRef": {"resource": name, **({"subresource": subresource} if subresource else {})},
        "responseStatus": {"code": code},
        "stageTimestamp": f"2026-01-02T03:04:{time}Z",
    }


AUDIT = [
    line("create", "pods", "sandbox-operator", "05.000001"),
    line("create", "pods/binding", "kube-scheduler/v1.36.3", "06.5"),
    line("patch", "pods/status", "kubelet/v1.36.3", "07.0", 200),
    line("patch", "pods/status", "kubelet/v1.36.3", "09.0", 200),
    line("create", "secrets", "sandbox-operator", "09.5", 409),
]


def test_a_request_is_found_by_who_did_what() -> None:
    made = request_time(AUDIT, {"create"}, "pods", "sandbox-operator")
    assert made == seconds("2026-01-02T03:04:05.000001Z")
    assert request_time(AUDIT, {"create"}, "pods/binding", "kube-scheduler") - made == pytest.approx(1.499999)


def test_the_last_request_counts_and_none_after_the_end() -> None:
    last = request_time(AUDIT, {"patch", "update"}, "pods/status", "kubelet")
    assert last == seconds("2026-01-02T03:04:09Z")
    assert request_time(AUDIT, {"patch"}, "pods/status", "kubelet", until=last - 0.1) == last - 2


@pytest.mark.parametrize(
    ("verb", "resource", "user"),
    [
        ("create", "secrets", "sandbox-operator"),  # refused with 409
        ("delete", "pods", "sandbox-operator"),
        ("create", "pods", "sandbox-gateway"),
        ("patch", "pods", "kubelet"),
    ],
)
def test_what_did_not_happen_is_named(verb: str, resource: str, user: str) -> None:
    with pytest.raises(MissingTimeError, match=f"{verb} of {resource} by {user}"):
        request_time(AUDIT, {verb}, resource, user)


def test_a_process_start_comes_from_the_uptime() -> None:
    # It is 1000 s, the machine has been up for 600 s, the process began 550 s after the boot.
    assert process_start("1000.5 600.5 55000 100\n") == 950.0


@given(st.lists(st.floats(0, 100), min_size=9, max_size=9), st.booleans())
def test_the_steps_add_up_to_the_whole(lengths: list[float], has_volume: bool) -> None:
    called, made, claimed, *rest = [sum(lengths[: n + 1]) for n in range(9)]
    found = steps(Times(called, made, claimed if has_volume else None, *rest))
    assert list(found) == list(STEPS)
    assert sum(found.values()) == pytest.approx(rest[-1] - called)
    assert all(value >= 0 for value in found.values())
    assert has_volume or found["volume"] == 0


def test_each_step_has_its_own_median() -> None:
    runs = [dict.fromkeys(STEPS, value) | {"imports": 10 - value} for value in (1.0, 2.0, 9.0)]
    assert medians(runs) == dict.fromkeys(STEPS, 2.0) | {"imports": 8.0}
