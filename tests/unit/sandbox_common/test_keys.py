"""Session keys: self-describing, and worthless without the master key."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_common.keys import NAMING_KEY, MasterKeyError, MasterKeys, api_key_hash

OLD, NEW = b"o" * 32, b"n" * 40
KEYS = MasterKeys.of({1: OLD})
ROTATED = MasterKeys.of({1: OLD, 2: NEW})


@given(st.uuids())
def test_a_session_key_names_its_sandbox(uid: object) -> None:
    key_id = KEYS.key_id(str(uid))
    assert KEYS.verify(KEYS.session_key(key_id)) == key_id


@given(st.text())
def test_other_text_is_never_genuine(text: str) -> None:
    assert KEYS.verify(text) is None


@given(st.integers(0, 200), st.characters())
def test_one_changed_character_makes_a_key_void(position: int, character: str) -> None:
    key = KEYS.session_key(KEYS.key_id("uid"))
    index = position % len(key)
    changed = key[:index] + character + key[index + 1 :]
    assert (KEYS.verify(changed) is None) is (changed != key)


def test_keys_survive_a_rotation_and_new_ones_use_the_new_master() -> None:
    old = KEYS.session_key(KEYS.key_id("uid"))
    assert ROTATED.verify(old) == KEYS.key_id("uid")
    assert ROTATED.key_id("uid").startswith("v2-")
    assert KEYS.verify(ROTATED.session_key(ROTATED.key_id("uid"))) is None


def test_a_new_master_is_known_before_it_is_used(tmp_path: Path) -> None:
    (tmp_path / "v1").write_bytes(b"1" * 32)
    before = MasterKeys.load(tmp_path)
    (tmp_path / "v2").write_bytes(b"2" * 32)
    (tmp_path / "use").write_text("v1\n")
    knowing = MasterKeys.load(tmp_path)
    (tmp_path / "use").unlink()
    using = MasterKeys.load(tmp_path)
    # Side by side in a rollout: each pair verifies what the other makes.
    for one, other in ((before, knowing), (knowing, using)):
        for maker, verifier in ((one, other), (other, one)):
            key_id = maker.key_id("uid")
            assert verifier.verify(maker.session_key(key_id)) == key_id
            assert verifier.is_internal_token(maker.internal_token())
            assert verifier.is_environment_hash(maker.environment_hash({"A": "1"}), {"A": "1"})
    assert (knowing.key_id("uid")[:2], using.key_id("uid")[:2]) == ("v1", "v2")


def test_a_version_that_is_not_there_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "v1").write_bytes(b"1" * 32)
    for wrong in ("v2", "1", "", "v1 v1", "v01"):
        (tmp_path / "use").write_text(wrong)
        if wrong:
            with pytest.raises(MasterKeyError, match="entry use of the master key"):
                MasterKeys.load(tmp_path)
        else:
            assert MasterKeys.load(tmp_path).used == 1


def test_ids_of_absent_masters_and_other_text_are_not_known() -> None:
    assert ROTATED.knows(KEYS.key_id("uid"))
    assert not KEYS.knows(ROTATED.key_id("uid"))
    for text in ("", "v1", "v1-", "v1-short", "vx-" + "a" * 26, KEYS.session_key(KEYS.key_id("uid"))):
        assert not KEYS.knows(text)


def test_same_id_under_another_master_is_another_key() -> None:
    key_id = KEYS.key_id("uid")
    forged = MasterKeys.of({1: NEW}).session_key(key_id)
    assert KEYS.verify(forged) is None


def test_the_secret_key_is_not_the_session_key() -> None:
    key_id = KEYS.key_id("uid")
    assert KEYS.secret_key(key_id) not in KEYS.session_key(key_id)


def test_the_environment_hash_is_keyed_and_ignores_order() -> None:
    one, other = {"A": "1", "B": "2"}, {"B": "2", "A": "1"}
    assert KEYS.environment_hash(one) == KEYS.environment_hash(other)
    assert KEYS.environment_hash(one) != MasterKeys.of({1: NEW}).environment_hash(one)
    assert KEYS.environment_hash({}) == ""
    assert len(KEYS.environment_hash(one)) == 64


@pytest.mark.parametrize("environment", [{}, {"A": "1"}, {"A": "1", "B": "ü"}])
def test_an_environment_hash_is_known_after_a_rotation(environment: dict[str, str]) -> None:
    for keys in (KEYS, ROTATED):
        assert ROTATED.is_environment_hash(keys.environment_hash(environment), environment)
        assert not ROTATED.is_environment_hash(keys.environment_hash({"C": "1"}), environment)
    if environment:
        assert not KEYS.is_environment_hash(ROTATED.environment_hash(environment), environment)
    for text in ("", "ü", "0" * 64):
        assert ROTATED.is_environment_hash(text, environment) is (not environment and not text)


def test_master_keys_do_not_show_in_their_representation() -> None:
    assert "oooo" not in repr(MasterKeys.of({1: OLD}, naming=OLD))


def test_names_need_the_naming_key_alone() -> None:
    named = MasterKeys.of({1: OLD}, naming=NEW)
    new, former = named.runtime_ids("alice", "s")
    assert KEYS.runtime_ids("alice", "s") == (former,)
    assert MasterKeys.of({2: OLD}, naming=NEW).runtime_ids("alice", "s") == (new, former)
    assert new not in MasterKeys.of({1: OLD}, naming=OLD).runtime_ids("alice", "s")


def test_the_naming_key_is_an_entry_beside_the_versions(tmp_path: Path) -> None:
    (tmp_path / "v1").write_bytes(OLD)
    (tmp_path / NAMING_KEY).write_bytes(NEW + b"\n")
    assert MasterKeys.load(tmp_path) == MasterKeys.of({1: OLD}, naming=NEW)
    for short in (b"", b"n" * 31 + b"\n"):
        (tmp_path / NAMING_KEY).write_bytes(short)
        with pytest.raises(MasterKeyError, match="entry naming-key is shorter than 32 bytes"):
            MasterKeys.load(tmp_path)


def test_load_reads_a_mounted_secret(tmp_path: Path) -> None:
    # The kubelet mounts through links to a `..data` folder.
    data = tmp_path / "..2026_01_01"
    data.mkdir()
    (data / "v1").write_bytes(OLD + b"\n")
    (tmp_path / "..data").symlink_to(data.name)
    (tmp_path / "v1").symlink_to("..data/v1")
    assert MasterKeys.load(tmp_path) == KEYS


@pytest.mark.parametrize(
    ("files", "word"),
    [({}, "no entry named v1"), ({"v0": OLD}, "no entry"), ({"v1": b"short"}, "v1"), ({"key": OLD}, "no entry")],
)
def test_load_refuses_what_is_no_master_key(tmp_path: Path, files: dict[str, bytes], word: str) -> None:
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(MasterKeyError, match=word):
        MasterKeys.load(tmp_path)


def test_load_refuses_a_missing_directory(tmp_path: Path) -> None:
    with pytest.raises(MasterKeyError, match="mount"):
        MasterKeys.load(tmp_path / "none")


def test_api_key_hash_is_sha256() -> None:
    assert api_key_hash("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_internal_token_is_known_to_all_who_have_the_master_key() -> None:
    older, both = MasterKeys.of({1: b"a" * 32}), MasterKeys.of({1: b"a" * 32, 2: b"b" * 32})
    assert both.is_internal_token(older.internal_token())
    assert both.is_internal_token(both.internal_token())
    assert not older.is_internal_token(both.internal_token())
    assert not older.is_internal_token("")
    assert not older.is_internal_token("\udcff")
