"""Counting, and what makes a server conform."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.contract import SECTIONS, Client, Weight
from conformance.plugin import paths
from conformance.report import Outcome, Report, Result
from conformance.target import Secrets

results = st.builds(
    Result,
    section=st.sampled_from([section.key for section in SECTIONS]),
    name=st.just("test_it"),
    weight=st.sampled_from(Weight),
    clients=st.lists(st.sampled_from(Client), unique=True).map(tuple),
    source=st.just("why"),
    outcome=st.sampled_from(Outcome),
)


@given(st.lists(results))
def test_sections_count_every_result_once(found: list[Result]) -> None:
    report = Report("http://server", "image:1", found)
    counted = report.as_json()["sections"]
    assert sum(sum(counts.values()) for counts in counted.values()) == len(found)
    assert [section.key for section in SECTIONS if section.key in counted] == list(counted)


@given(st.lists(results))
def test_clients_count_what_they_rely_on(found: list[Result]) -> None:
    counted = Report("http://server", "image:1", found).as_json()["clients"]
    for client in Client:
        assert sum(counted[client].values()) == sum(client in result.clients for result in found)


@pytest.mark.parametrize(
    ("outcome", "conforms"),
    [
        (Outcome.PASSED, True),
        (Outcome.WARNED, True),
        (Outcome.NOT_RUN, True),
        (Outcome.FAILED, False),
        (Outcome.BLOCKED, False),
    ],
)
def test_conforms(outcome: Outcome, conforms: bool) -> None:
    result = Result("A2", "test_it", Weight.REQUIRED, (Client.SDK,), "why", outcome)
    assert Report("http://server", "image:1", [result]).conforms is conforms


def test_secrets_are_hidden_whole_and_short_texts_are_not() -> None:
    secrets = Secrets("the-api-key", "")
    for text in ("session-key", "session-key-longer", "short", None, 7):
        secrets.add(text)
    assert secrets.hide("the-api-key session-key session-key-longer short") == "[key] [key] [key] short"


@pytest.mark.parametrize(
    ("names", "files"),
    [
        (["a2"], ["a2_sessions.py"]),
        (["C"], ["c_http.py", "c_websocket.py"]),
        (["SDK", "B"], ["b_states.py", "sdk.py"]),
        ([], [f"{section.module}.py" for section in SECTIONS]),
    ],
)
def test_sections_are_chosen_by_name(names: list[str], files: list[str]) -> None:
    chosen = paths(names)
    assert [path.name for path in chosen] == files
    assert all(path.is_file() for path in chosen)


def test_unknown_section_is_no_section() -> None:
    with pytest.raises(LookupError, match="A1; there are A2"):
        paths(["A1"])
