"""Names are DNS labels, stable, and distinct."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_crds import names

LABEL = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
ANY_TEXT = st.text(max_size=300)


@given(ANY_TEXT, ANY_TEXT)
def test_runtime_id_is_a_label_with_room_for_a_service_prefix(owner: str, session: str) -> None:
    runtime_id = names.runtime_id(owner, session)
    assert LABEL.fullmatch(runtime_id)
    assert len(f"vscode-{runtime_id}") <= 63
    assert runtime_id == names.runtime_id(owner, session)


@given(ANY_TEXT, ANY_TEXT, ANY_TEXT, ANY_TEXT)
def test_two_sessions_never_share_a_runtime_id(owner: str, session: str, owner_2: str, session_2: str) -> None:
    same = (owner, session) == (owner_2, session_2)
    assert (names.runtime_id(owner, session) == names.runtime_id(owner_2, session_2)) is same


def test_owner_and_session_do_not_run_together() -> None:
    assert names.runtime_id("ab", "c") != names.runtime_id("a", "bc")
    assert names.runtime_id("1:a", "b") != names.runtime_id("", "1:ab")


def test_a_lone_surrogate_has_a_name() -> None:
    assert LABEL.fullmatch(names.runtime_id("o", "\ud800"))


def test_a_new_sandbox_of_an_old_name_has_other_objects() -> None:
    longest = "s" * 50
    old, new = names.pod_name(longest, "uid-1"), names.pod_name(longest, "uid-2")
    assert old != new
    assert LABEL.fullmatch(old)
    assert LABEL.fullmatch(names.environment_secret_name(longest, "uid-1"))
    assert names.environment_secret_name("a", "uid-1", "0f") == f"{names.environment_secret_name('a', 'uid-1')}-0f"


@given(ANY_TEXT, ANY_TEXT)
def test_a_runtime_id_is_a_sandbox_name(owner: str, session: str) -> None:
    assert names.is_sandbox_name(names.runtime_id(owner, session))


@pytest.mark.parametrize("service", names.SERVICES)
def test_no_sandbox_is_named_as_another_ones_service(service: str) -> None:
    assert names.is_sandbox_name(service)
    assert not names.is_sandbox_name(f"{service}-a")
    assert names.service_of(f"{service}-a") == (service, "a")
    assert names.service_of(f"{service}-{service}-a") == (service, f"{service}-a")
    assert names.service_of(f"{service}-") == (service, "")


@pytest.mark.parametrize("label", ["", "a", "work-1", "work-3-a", "work-12-a", "vscodea-b", "a-vscode-b", "Vscode-a"])
def test_other_labels_are_of_no_service(label: str) -> None:
    assert names.service_of(label) is None


@given(ANY_TEXT, ANY_TEXT)
def test_no_runtime_id_looks_like_a_service(owner: str, session: str) -> None:
    assert names.service_of(names.runtime_id(owner, session)) is None


@pytest.mark.parametrize("text", ["", "a/b", "../x", "a?b", "A", "1a", "-a", "a-", "a\n", "a.b", "a" * 51])
def test_text_that_is_no_sandbox_name_stays_out_of_paths(text: str) -> None:
    assert not names.is_sandbox_name(text)
