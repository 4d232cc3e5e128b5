"""How keys are rotated and changed."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubectl_ohsb.changes import Change, clear_key, rotated
from kubectl_ohsb.errors import Refusal
from kubectl_ohsb.texts import Given
from sandbox_common.api_keys import ApiKey, Hash, Limits, Policy, decode, encode
from sandbox_common.keys import api_key_hash

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
OLDEST, OLD, NEW = (api_key_hash(text) for text in ("oldest", "old", "new"))
POLICY = Policy(limits=Limits(running=5, sandboxes=9), images=("ghcr.io/openhands/*",), classes=("small",))


def key(*hashes: Hash) -> ApiKey:
    return ApiKey("ci", "team-a", hashes or (Hash(OLD),), POLICY)


def test_a_new_key_is_long_random_and_fit_for_a_header_and_a_shell() -> None:
    keys = {clear_key() for _ in range(100)}
    assert len(keys) == 100
    for text in keys:
        assert text.startswith("ohk_")
        # 43 characters of 6 bits hold 256 bits.
        assert len(text) == len("ohk_") + 43
        assert text.replace("-", "").replace("_", "").isalnum()
        assert text.isascii()


@pytest.mark.parametrize(
    ("hashes", "keep_old", "expires", "result"),
    [
        ((Hash(OLD),), DAY, None, (Hash(NEW), Hash(OLD, NOW + DAY))),
        ((Hash(OLD),), timedelta(), None, (Hash(NEW),)),
        ((Hash(OLD, NOW + HOUR),), DAY, None, (Hash(NEW, NOW + HOUR), Hash(OLD, NOW + HOUR))),
        ((Hash(OLD, NOW + HOUR),), DAY, NOW + 9 * DAY, (Hash(NEW, NOW + 9 * DAY), Hash(OLD, NOW + HOUR))),
        ((Hash(OLD),), DAY, NOW + HOUR, (Hash(NEW, NOW + HOUR), Hash(OLD, NOW + HOUR))),
        ((Hash(OLD, NOW),), DAY, NOW + DAY, (Hash(NEW, NOW + DAY),)),
        ((Hash(OLD), Hash(OLDEST, NOW)), DAY, None, (Hash(NEW), Hash(OLD, NOW + DAY))),
    ],
)
def test_rotation(
    hashes: tuple[Hash, ...], keep_old: timedelta, expires: datetime | None, result: tuple[Hash, ...]
) -> None:
    before = key(*hashes)
    assert rotated(before, NEW, NOW, keep_old, expires) == replace(before, hashes=result)


def test_no_older_key_is_ended_unasked() -> None:
    with pytest.raises(Refusal, match=r"2026-11-27T13:00:00Z.* --end-old"):
        rotated(key(Hash(OLD), Hash(OLDEST, NOW + HOUR)), NEW, NOW, timedelta(), None)


def test_an_expired_key_is_not_rotated_into_another_expired_one() -> None:
    with pytest.raises(Refusal, match="give --expires"):
        rotated(key(Hash(OLD, NOW)), NEW, NOW, DAY, None)


@pytest.mark.parametrize(
    ("change", "result"),
    [
        (Change({"running": 7}), {"limits": Limits(running=7, sandboxes=9)}),
        (Change({"running": None}), {"limits": Limits(sandboxes=9)}),
        (Change({"life_seconds": 60}), {"limits": Limits(running=5, sandboxes=9, life_seconds=60)}),
        (Change({}, images=("docker.io/library/*",)), {"images": ("docker.io/library/*",)}),
        (Change({}, classes=("big", "small")), {"classes": ("big", "small")}),
        (Change({}, all_images=True), {"images": ()}),
        (Change({}, own_class=True), {"classes": ()}),
        (Change({}, all_images=True, own_class=True), {"images": (), "classes": ()}),
        (Change({}, end_old=True), {}),
        (Change({}, admin=True), {"admin": True}),
        (Change({}, admin=False), {}),
    ],
)
def test_what_is_not_named_stays(change: Change, result: dict[str, object]) -> None:
    assert not change.empty
    assert change.of(key()) == replace(key(), policy=POLICY.model_copy(update=result))


def test_an_administrator_stays_one_until_the_permission_is_taken() -> None:
    admin = replace(key(), policy=POLICY.model_copy(update={"admin": True}))
    assert Change({"running": 7}).of(admin).policy.admin
    assert rotated(admin, NEW, NOW, DAY, None).policy.admin
    assert Change({}, admin=False).of(admin) == key()


def test_nothing_is_no_change() -> None:
    assert Change({}).empty


@pytest.mark.parametrize(
    ("change", "hashes"),
    [
        (Change({"running": 1}), (Hash(NEW), Hash(OLD, NOW + DAY))),
        (Change({}, end_old=True), (Hash(NEW),)),
        (Change({}, expires=Given(NOW + 2 * DAY)), (Hash(NEW, NOW + 2 * DAY), Hash(OLD, NOW + DAY))),
        (Change({}, expires=Given(NOW + HOUR)), (Hash(NEW, NOW + HOUR), Hash(OLD, NOW + HOUR))),
        (Change({}, expires=Given(None)), (Hash(NEW), Hash(OLD, NOW + DAY))),
    ],
)
def test_ends(change: Change, hashes: tuple[Hash, ...]) -> None:
    assert change.of(key(Hash(NEW), Hash(OLD, NOW + DAY))).hashes == hashes


ENDS = st.none() | st.integers(1, 10**8).map(lambda seconds: NOW + timedelta(seconds=seconds))
LENGTHS = st.integers(0, 10**8).map(lambda seconds: timedelta(seconds=seconds))


@given(ENDS, ENDS, LENGTHS)
def test_an_old_key_never_outlives_what_it_was_given_nor_the_new_one(
    end: datetime | None, expires: datetime | None, keep_old: timedelta
) -> None:
    after = rotated(key(Hash(OLD, end)), NEW, NOW, keep_old, expires)
    new, *old = after.hashes
    assert (new.sha256, new.expires) == (NEW, expires or end)
    for hash_ in old:
        assert hash_.sha256 == OLD
        assert hash_.expires
        assert hash_.expires == min(time for time in (NOW + keep_old, end, new.expires) if time)
        assert hash_.valid_at(NOW)
    assert decode({"metadata": {"name": "ci"}, "data": encode(after)}) == after
