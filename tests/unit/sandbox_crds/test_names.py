"""Names are DNS labels, stable, and distinct."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_crds import names

LABEL = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
ANY_TEXT = st.text(max_size=300)


KEY = b"k" * 32


@given(ANY_TEXT, ANY_TEXT)
def test_runtime_id_is_a_label_with_room_for_a_service_prefix(owner: str, session: str) -> None:
    runtime_id = names.runtime_id(owner, session, KEY)
    assert LABEL.fullmatch(runtime_id)
    assert len(f"vscode-{runtime_id}") <= 63
    assert runtime_id == names.runtime_id(owner, session, KEY)


def test_names_are_those_of_earlier_versions() -> None:
    """If one of these changes, gateways make a second sandbox for each session."""
    assert names.unkeyed_runtime_id("alice", "s") == "sb-j36dx5mvrkp3ptx26st3lpj3"
    assert names.runtime_id("alice", "s", KEY) == "sb-p4nuztaddkfhe6t64tqsqvwa"


@given(st.binary(min_size=32, max_size=64), st.binary(min_size=32, max_size=64))
def test_who_does_not_have_the_key_does_not_know_the_name(key: bytes, other: bytes) -> None:
    name = names.runtime_id("alice", "s", key)
    assert name != names.unkeyed_runtime_id("alice", "s")
    # HMAC pads a key with zero bytes.
    assert (name == names.runtime_id("alice", "s", other)) is (key.ljust(64, b"\0") == other.ljust(64, b"\0"))


@given(ANY_TEXT, ANY_TEXT, ANY_TEXT, ANY_TEXT)
def test_two_sessions_never_share_a_runtime_id(owner: str, session: str, owner_2: str, session_2: str) -> None:
    same = (owner, session) == (owner_2, session_2)
    assert (names.runtime_id(owner, session, KEY) == names.runtime_id(owner_2, session_2, KEY)) is same


def test_owner_and_session_do_not_run_together() -> None:
    assert names.runtime_id("ab", "c", KEY) != names.runtime_id("a", "bc", KEY)
    assert names.runtime_id("1:a", "b", KEY) != names.runtime_id("", "1:ab", KEY)


def test_a_lone_surrogate_has_a_name() -> None:
    assert LABEL.fullmatch(names.runtime_id("o", "\ud800", KEY))


def test_a_new_sandbox_of_an_old_name_has_other_objects() -> None:
    longest = "s" * 50
    old, new = names.pod_name(longest, "uid-1"), names.pod_name(longest, "uid-2")
    assert old != new
    assert LABEL.fullmatch(old)
    assert LABEL.fullmatch(names.environment_secret_name(longest, "uid-1"))
    assert names.environment_secret_name("a", "uid-1", "0f") == f"{names.environment_secret_name('a', 'uid-1')}-0f"


LABEL_VALUE = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")


@pytest.mark.parametrize("owner", ["a", "team-a", "Team_A.b", "a" * 63])
def test_an_owner_that_can_be_a_label_is_its_own(owner: str) -> None:
    assert names.owner_label(owner) == owner


@pytest.mark.parametrize("owner", ["", "a@example.com", "a" * 64, "-a", "a\n", "sha256-0", "ü"])
def test_another_owner_is_hashed(owner: str) -> None:
    assert re.fullmatch("sha256-[0-9a-f]{40}", names.owner_label(owner))


@given(ANY_TEXT, ANY_TEXT)
def test_no_two_owners_have_the_same_label(one: str, other: str) -> None:
    assert LABEL_VALUE.fullmatch(names.owner_label(one))
    assert (names.owner_label(one) == names.owner_label(other)) is (one == other)
    # Nor an owner who calls himself as another one's hash.
    assert names.owner_label(names.owner_label(one)) != names.owner_label(one) or names.owner_label(one) == one


@given(ANY_TEXT, ANY_TEXT)
def test_a_runtime_id_is_a_sandbox_name(owner: str, session: str) -> None:
    assert names.is_sandbox_name(names.runtime_id(owner, session, KEY))


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
    assert names.service_of(names.runtime_id(owner, session, KEY)) is None


@pytest.mark.parametrize("text", ["", "a/b", "../x", "a?b", "A", "1a", "-a", "a-", "a\n", "a.b", "a" * 51])
def test_text_that_is_no_sandbox_name_stays_out_of_paths(text: str) -> None:
    assert not names.is_sandbox_name(text)
