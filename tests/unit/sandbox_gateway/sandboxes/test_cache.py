"""Own writes ahead of the informer, deletions, and the index by key id."""

import pytest

from sandbox_common import recent
from sandbox_common.keys import MasterKeys
from sandbox_crds.models import Sandbox
from sandbox_gateway.sandboxes.cache import SandboxCache
from unit.sandbox_gateway.support import KEYS, sandbox, sandbox_object, unconnected_cache


async def test_a_write_is_known_at_once_and_an_older_answer_does_not_undo_it() -> None:
    cache = unconnected_cache()
    cache.remember(sandbox_object(version=5, spec={"suspend": True}))
    cache.remember(sandbox_object(version=4))
    found = cache.get("sb-a")
    assert found is not None
    assert found.spec.suspend


async def test_versions_are_compared_as_numbers() -> None:
    cache = unconnected_cache()
    cache.remember(sandbox_object(version=9))
    cache.remember(sandbox_object(version=10, spec={"suspend": True}))
    found = cache.get("sb-a")
    assert found is not None
    assert found.spec.suspend


async def test_a_deleted_one_is_gone_and_a_new_one_of_its_name_is_not() -> None:
    cache = unconnected_cache()
    old = cache.remember(sandbox_object(version=1, uid="old"))
    cache.forget(old)
    assert cache.get("sb-a") is None
    assert cache.find_by_key_id(KEYS.key_id("old")) is None
    cache.remember(sandbox_object(version=2, uid="old"))
    assert cache.get("sb-a") is None
    cache.remember(sandbox_object(version=3, uid="new"))
    assert cache.get("sb-a") is not None
    assert cache.find_by_key_id(KEYS.key_id("old")) is None
    assert cache.find_by_key_id(KEYS.key_id("new")) is not None


async def test_what_a_list_shows_is_found_by_its_key_although_an_older_answer_is_ahead_of_the_informer() -> None:
    cache = unconnected_cache()
    cache.remember(sandbox_object(version=5, uid="old", spec={"suspend": True}))
    # As the informer does it: its own version follows at the end of the list.
    cache.informer._put(sandbox_object(version=9, uid="new"))  # pyright: ignore[reportPrivateUsage]
    cache.informer.version = 10
    found = cache.get("sb-a")
    assert found
    assert found.metadata.uid == "new"
    assert cache.find_by_key_id(KEYS.key_id("new")) is found
    assert cache.find_by_key_id(KEYS.key_id("old")) is None


@pytest.mark.parametrize("how", ["forgotten", "being deleted", "replaced", "another key"])
async def test_key_ids_that_open_nothing_any_more_are_remembered(how: str) -> None:
    cache, key_id = unconnected_cache(), KEYS.key_id("old")
    old = cache.remember(sandbox_object(version=1, uid="old"))
    cache.remember(sandbox_object(version=2, uid="old", spec={"suspend": True}))
    assert not cache.is_former(key_id)
    match how:
        case "forgotten":
            cache.forget(old)
        case "being deleted":
            cache.remember(sandbox_object(version=3, uid="old", deleting=True))
        case "replaced":
            cache.remember(sandbox_object(version=3, uid="new"))
        case _:
            cache.remember(sandbox_object(version=3, uid="old", status={"keyID": KEYS.key_id("a-pod")}))
    assert cache.is_former(key_id)
    assert not cache.is_former(KEYS.key_id("new"))


async def test_only_so_many_key_ids_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent, "_MOST", 2)
    cache = unconnected_cache()
    for key_id in ("a", "b", "a", "c"):
        cache.give_up(key_id)
    assert [cache.is_former(key_id) for key_id in "abc"] == [False, True, True]


async def test_one_that_is_being_deleted_counts_as_gone() -> None:
    cache = unconnected_cache()
    cache.remember(sandbox_object(deleting=True))
    assert cache.get("sb-a") is None
    assert cache.find_by_key_id(KEYS.key_id("uid-1")) is None


async def test_the_key_id_is_the_reported_one_or_else_the_one_to_come() -> None:
    newer = MasterKeys.of({1: b"k" * 32, 2: b"n" * 32})
    cache = unconnected_cache(newer)
    assert cache.key_id(sandbox()) == newer.key_id("uid-1")
    reported = KEYS.key_id("uid-1")
    assert cache.key_id(sandbox(status={"keyID": reported})) == reported
    cache.remember(sandbox_object(version=1))
    cache.remember(sandbox_object(version=2, status={"keyID": reported}))
    assert cache.find_by_key_id(reported) is not None
    assert cache.find_by_key_id(newer.key_id("uid-1")) is None


async def test_owners_have_what_is_theirs_now() -> None:
    cache = unconnected_cache()

    def owned(owner: str) -> set[str]:
        return {found.metadata.uid for found in cache.owned_by(owner)}

    cache.remember(sandbox_object(version=1, uid="first", spec={"owner": "alice"}))
    cache.remember(sandbox_object(name="sb-b", version=2, uid="second", spec={"owner": "alice"}))
    cache.remember(sandbox_object(version=3, uid="first", spec={"owner": "alice", "suspend": True}))
    assert (owned("alice"), owned("bob")) == ({"first", "second"}, set())
    # A name that is free again may be another owner's.
    cache.forget(sandbox(uid="first", version=3, spec={"owner": "alice"}))
    assert owned("alice") == {"second"}
    cache.remember(sandbox_object(version=4, uid="third", spec={"owner": "bob"}))
    assert (owned("alice"), owned("bob")) == ({"second"}, {"third"})


async def test_an_owner_is_found_without_a_look_at_what_others_have(monkeypatch: pytest.MonkeyPatch) -> None:
    cache = unconnected_cache()
    for number in range(20):
        owner = "alice" if number == 7 else "bob"
        cache.remember(sandbox_object(name=f"sb-{number}", version=number + 1, spec={"owner": owner}))
    looked: list[str] = []
    get = cache.get

    def look(name: str) -> Sandbox | None:
        looked.append(name)
        return get(name)

    monkeypatch.setattr(cache, "get", look)
    assert len(cache.owned_by("alice")) == 1
    assert looked == ["sb-7"]


async def test_who_watches_a_name_hears_of_its_changes_only() -> None:
    cache = unconnected_cache()
    with cache.watching("sb-a") as changed, cache.watching("sb-b") as other:
        cache.remember(sandbox_object())
        assert changed.is_set()
        assert not other.is_set()
        changed.clear()
        cache.forget(sandbox())
        assert changed.is_set()
    with cache.watching("sb-a") as changed:
        assert not changed.is_set()


def names_of(cache: SandboxCache, owner: str = "alice", session_id: str = "s") -> str | None:
    found = cache.find_session(owner, session_id)
    return found and found.metadata.name


async def test_a_session_has_its_sandbox_whatever_its_name_is() -> None:
    cache = unconnected_cache()
    cache.remember(sandbox_object("b", version=1))
    cache.remember(sandbox_object("c", version=2, spec={"owner": "bob"}))
    cache.remember(sandbox_object("d", version=3, spec={"sessionID": "t"}))
    assert (names_of(cache), names_of(cache, "bob"), names_of(cache, "alice", "t")) == ("b", "c", "d")
    assert (names_of(cache, "bob", "t"), names_of(cache, "alice", "b")) == (None, None)
    # Of several, the oldest, then the first by name.
    cache.remember(sandbox_object("a", version=4))
    assert names_of(cache) == "a"
    older = sandbox_object("z", version=5)
    older["metadata"]["creationTimestamp"] = "2026-01-02T03:03:59Z"
    cache.forget(cache.remember(older))
    assert names_of(cache) == "a"
    cache.remember(sandbox_object("a", version=6, deleting=True))
    assert names_of(cache) == "b"
    # A new one of its name is another session's.
    cache.remember(sandbox_object("b", version=7, uid="new", spec={"sessionID": "u"}))
    assert (names_of(cache), names_of(cache, "alice", "u")) == (None, "b")


@pytest.mark.parametrize("spec", [{"sessionID": ""}, {"owner": ""}, {"owner": "", "sessionID": ""}])
async def test_without_an_owner_or_a_session_id_it_is_no_sessions(spec: dict[str, str]) -> None:
    cache = unconnected_cache()
    found = cache.remember(sandbox_object(spec=spec))
    assert cache.find_session(found.spec.owner, found.spec.session_id) is None
    assert cache.owned_by(found.spec.owner) == [found]


async def test_nothing_is_kept_of_a_session_that_is_gone() -> None:
    cache = unconnected_cache()
    for name in ("a", "b"):
        cache.remember(sandbox_object(name, version=1))
    for name in ("a", "b"):
        cache.remember(sandbox_object(name, version=2, deleting=True))
    assert not cache._of_session  # pyright: ignore[reportPrivateUsage]
    assert not cache._sessions  # pyright: ignore[reportPrivateUsage]
