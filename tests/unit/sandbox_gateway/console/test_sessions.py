"""Sessions: they end with their key, and nobody can make one up."""

import base64
from datetime import timedelta
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_common.keys import MasterKeys
from sandbox_gateway.console.sessions import IDLE_SECONDS, LIFE_SECONDS, RENEWAL_SECONDS, Sessions
from sandbox_gateway.sandboxes.api_keys import ApiKeys
from unit.sandbox_gateway.console.support import NOW, Town

OLD, NEW = b"o" * 32, b"n" * 32


def sealed(town: Town, key: str = "key-of-alice") -> str:
    begun = town.sessions.begin(key)
    assert begun is not None
    return town.sessions.seal(begun.session)


def owner(sessions: Sessions, *cookies: str) -> str | None:
    found = sessions.find(cookies)
    return found and found.key.owner


def test_a_cookie_is_the_sessions_and_has_neither_key_nor_its_hash(town: Town) -> None:
    cookie = sealed(town)
    assert owner(town.sessions, cookie) == "alice"
    digest = town.ring.keys["alice-1"].hashes[0].sha256
    for secret in ("key-of-alice", digest, base64.urlsafe_b64encode(bytes.fromhex(digest)).decode().rstrip("=")):
        assert secret not in cookie
    assert cookie != sealed(town)
    assert town.sessions.begin("key-of-nobody") is None
    assert town.sessions.begin("") is None


def test_it_ends_with_its_key(town: Town) -> None:
    cookie = sealed(town)
    alice = town.ring.keys.pop("alice-1")
    assert owner(town.sessions, cookie) is None
    town.ring.keys["alice-1"] = alice
    assert owner(town.sessions, cookie) == "alice"
    # Another key in the Secret of the same name, as after a rotation.
    town.ring.add("alice-1", "another-key", "alice")
    assert owner(town.sessions, cookie) is None
    town.ring.add("alice-1", "key-of-alice", "alice", expires=NOW + timedelta(seconds=60))
    assert owner(town.sessions, cookie) == "alice"
    town.clock.advance(60)
    assert owner(town.sessions, cookie) is None


def test_it_shows_what_the_key_allows_now(town: Town) -> None:
    cookie = sealed(town)
    town.ring.add("alice-1", "key-of-alice", "her-successor")
    assert owner(town.sessions, cookie) == "her-successor"


def test_it_ends_without_use_and_at_its_age(town: Town) -> None:
    cookie = sealed(town)
    town.clock.advance(IDLE_SECONDS - 1)
    assert owner(town.sessions, cookie) == "alice"
    town.clock.advance(1)
    assert owner(town.sessions, cookie) is None

    cookie, lived = sealed(town), 0.0
    while lived < LIFE_SECONDS:
        found = town.sessions.find([cookie])
        assert found is not None
        renewed = town.sessions.renewed(found.session)
        cookie = town.sessions.seal(renewed) if renewed else cookie
        town.clock.advance(IDLE_SECONDS / 2)
        lived += IDLE_SECONDS / 2
    assert owner(town.sessions, cookie) is None


def test_a_cookie_is_renewed_once_a_minute(town: Town) -> None:
    found = town.sessions.find([sealed(town)])
    assert found is not None
    assert town.sessions.renewed(found.session) is None
    town.clock.advance(RENEWAL_SECONDS)
    renewed = town.sessions.renewed(found.session)
    assert renewed is not None
    assert (renewed.id, renewed.began) == (found.session.id, found.session.began)


@given(data=st.data())
def test_a_changed_cookie_is_none(data: st.DataObject) -> None:
    town = Town()
    cookie = sealed(town)
    at = data.draw(st.integers(0, len(cookie) - 1))
    other = data.draw(st.characters(min_codepoint=0x21, max_codepoint=0xFF).filter(lambda c: c != cookie[at]))
    assert town.sessions.find([cookie[:at] + other + cookie[at + 1 :]]) is None
    assert town.sessions.find([cookie[:at], cookie[at + 1 :], cookie + other]) is None


@pytest.mark.parametrize("cookie", ["", "~" * 6, "a" * 100_000, "\x00", "é", "\u0661" * 10, "v1-", "null"])
def test_nonsense_is_none(town: Town, cookie: str) -> None:
    assert town.sessions.find([cookie]) is None
    assert owner(town.sessions, cookie, sealed(town)) == "alice"


def test_anothers_name_in_a_cookie_is_not_believed(town: Town) -> None:
    cookie = sealed(town, "key-of-bob")
    assert owner(town.sessions, cookie) == "bob"
    assert town.sessions.find([cookie.replace("bob-1", "alice-1")]) is None
    # A whole session of bob's key under the name of alice's, were it signed: the key's mark does not fit.
    begun = town.sessions.begin("key-of-bob")
    assert begun is not None
    town.ring.keys["bob-1"] = town.ring.keys["alice-1"]
    assert town.sessions.find([town.sessions.seal(begun.session)]) is None


def test_any_process_with_the_master_key_accepts_it(town: Town) -> None:
    def sessions(versions: dict[int, bytes], use: str = "") -> Sessions:
        return Sessions(MasterKeys.of(versions, use), cast("ApiKeys", town.ring), town.clock)

    begun = sessions({1: OLD}).begin("key-of-alice")
    assert begun is not None
    cookie = sessions({1: OLD}).seal(begun.session)
    assert owner(sessions({1: OLD}), cookie) == "alice"
    assert owner(sessions({1: OLD, 2: NEW}), cookie) == "alice"
    assert owner(sessions({2: NEW}), cookie) is None
    assert owner(sessions({1: NEW}), cookie) is None


def test_a_forms_token_is_of_one_session_and_is_no_cookie(town: Town) -> None:
    one, other = town.sessions.begin("key-of-alice"), town.sessions.begin("key-of-alice")
    assert one is not None
    assert other is not None
    token = town.sessions.form_token(one.session)
    assert town.sessions.is_form_token(one.session, token)
    assert not town.sessions.is_form_token(other.session, token)
    for wrong in ("", token[:-1], token + "x", "v1-" + "A" * 43, "é", "v9-x"):
        assert not town.sessions.is_form_token(one.session, wrong)
    assert town.sessions.find([f"{one.session.text}~{token}"]) is None
